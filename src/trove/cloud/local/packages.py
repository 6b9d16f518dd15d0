"""The image `host`: the database servers that are installed on this machine."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from trove.cloud.local.commands import find_program, run
from trove.cloud.local.settings import HostPackages
from trove.core.errors import CloudError, NotFound

HOST_IMAGE = "host"
COMMON_TAGS = frozenset({"trove", HOST_IMAGE})


def check_image(image_id: str | None) -> None:
    """Raise `CloudError` unless the image is the machine itself; None means that too."""
    if image_id not in {None, HOST_IMAGE}:
        raise CloudError(f"Image {image_id!r} cannot be found; the local cloud has: {HOST_IMAGE}")


def find_image(packages: Mapping[str, HostPackages], image_id: str | None, tags: Sequence[str]) -> str:
    """Return the id of the image; its tags are `trove`, `host` and the datastore managers in `packages`. Raises `NotFound`."""
    if image_id == HOST_IMAGE or (image_id is None and tags and COMMON_TAGS.union(packages).issuperset(tags)):
        return HOST_IMAGE
    known = ", ".join(sorted(COMMON_TAGS.union(packages)))
    raise NotFound(f"Image {image_id or ', '.join(tags)} cannot be found; the local cloud has {HOST_IMAGE} with tags {known}.")


def find_engine(packages: Mapping[str, HostPackages], manager: str) -> str:
    """Return the path of the server program of a datastore manager; raises `CloudError` saying how to install it."""
    wanted = packages.get(manager)
    if wanted is None:
        known = ", ".join(sorted(packages)) or "none"
        raise CloudError(f"The local cloud has no packages for the datastore manager {manager!r}; it knows: {known}")
    found = find_program(*wanted.programs)
    if found is None:
        raise CloudError(f"{wanted.programs[0]} is not installed on this machine; install it with: {wanted.install}")
    return found


def engine_version(program: str) -> str:
    """Return the version that a server program tells of itself, such as `10.11.19`; `unknown` when it tells none."""
    return _told_version(program, Path(program).stat().st_mtime_ns)


@lru_cache
def _told_version(program: str, _changed: int) -> str:
    """Ask once for each change of the program's file: starting a server program takes a twentieth of a second."""
    _, output = run([program, "--version"])
    found = re.search(r"\d+(\.\d+)+", output)
    return found[0] if found else "unknown"
