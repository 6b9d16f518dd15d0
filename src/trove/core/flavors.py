"""Flavors: sizes of servers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A size of server, in Nova's terms. `id` is a string even when it looks like a number."""

    id: str
    name: str
    ram_mib: int
    vcpus: int
    disk_gib: int = 0
    ephemeral_gib: int = 0
