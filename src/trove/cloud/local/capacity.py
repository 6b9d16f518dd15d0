"""How much memory the machine has for servers: what it cannot hold is refused, before it takes from those that run."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trove.cloud.contract import HostInfo
from trove.cloud.local.locking import locked
from trove.cloud.local.records import read_record
from trove.core.errors import CloudError
from trove.core.flavors import Flavor
from trove.core.units import MIB

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may use, by control groups of version 2 and 1."""


class Capacity:
    """The memory of all servers below `servers`, stopped ones too, together at most `overcommit` times the machine's.

    An `overcommit` of 0 is no limit. Safe for threads and processes.
    """

    def __init__(self, servers: Path, lock_file: Path, *, overcommit: float) -> None:
        self._servers = servers
        self._lock_file = lock_file
        self._overcommit = overcommit

    @contextmanager
    def room_for(self, flavor: Flavor, *, instead_of_mib: int = 0) -> Iterator[None]:
        """Let nobody else take memory while the server is made in this block, or changed from `instead_of_mib`.

        Raises `CloudError` when it does not fit; what becomes no larger always fits.
        """
        if not self._overcommit:
            yield
            return
        with locked(self._lock_file):
            room, taken = int(machine_memory_mib() * self._overcommit), self._taken_mib()
            if flavor.ram_mib > instead_of_mib and taken - instead_of_mib + flavor.ram_mib > room:
                raise CloudError(
                    f"No valid host: {flavor.name} needs {flavor.ram_mib} MiB of memory; "
                    f"of the {room} MiB that this machine has for instances, {taken} MiB are taken."
                )
            yield

    def host(self) -> HostInfo:
        """Return this machine. Its memory is what the flavors of all servers may add up to; all of it without an overcommit."""
        return HostInfo(
            name=socket.gethostname(),
            total_ram_mib=int(machine_memory_mib() * (self._overcommit or 1)),
            used_ram_mib=self._taken_mib(),
            instance_ids=tuple(sorted(path.parent.name for path in self._servers.glob("*/server.json"))),
        )

    def _taken_mib(self) -> int:
        taken = 0
        for home in self._servers.iterdir():
            with suppress(CloudError):  # A damaged record is told to who needs that server.
                record = read_record(home / "server.json")
                taken += 0 if record is None else int(record["ram_mib"])
        return taken


def machine_memory_mib() -> int:
    """Return the memory of this machine, or of the container that we are in, in MiB."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # missing, or `max`
            limits.append(int(path.read_text()))
    return min(limits) // MIB
