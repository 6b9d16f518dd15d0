"""User ids of instances: as root each instance gets one of its own, out of the range of systemd's DynamicUser.

A lease is a file `uids/<instance id>`. It stays while the instance has a server or a volume, because files of the id remain.
"""

import hashlib
import os
from pathlib import Path

from trove.cloud.local.locking import locked
from trove.cloud.local.records import remove_file, write_file
from trove.core.errors import CloudError

TEMPLATE_MAKER = "templates"


class Users:
    """The leases of one state directory. `directory` must exist. Every user id is also used as the group id."""

    def __init__(self, directory: Path, lock: Path, uid_range: tuple[int, int]) -> None:
        self._directory = directory
        self._lock = lock
        self._first, self._last = uid_range

    def ensure_template_maker(self) -> int:
        """Lease the id that makes templates; no instance ever gets it."""
        return self.ensure(TEMPLATE_MAKER)

    def find(self, instance_id: str) -> int | None:
        """Return the id leased to an instance, or None."""
        try:
            return int((self._directory / instance_id).read_text())
        except FileNotFoundError:
            return None

    def ensure(self, instance_id: str) -> int:
        """Lease an id that no other instance here has and no process on the machine runs as. Raises `CloudError`."""
        with locked(self._lock):
            existing = self.find(instance_id)
            if existing is not None:
                return existing
            taken = {self.find(held) for held in (TEMPLATE_MAKER, *self.held())} | _running_uids()
            count = self._last - self._first + 1
            entry = int.from_bytes(hashlib.sha256(str(self._directory).encode()).digest()[:4], "big") % count
            for offset in range(count):
                uid = self._first + (entry + offset) % count
                if uid not in taken:
                    write_file(self._directory / instance_id, str(uid).encode())
                    return uid
        raise CloudError(f"No user id is left between {self._first} and {self._last}.")

    def release(self, instance_id: str) -> None:
        """Give an id back. Missing is fine."""
        remove_file(self._directory / instance_id)

    def held(self) -> tuple[str, ...]:
        """Return the ids of the instances that have a lease."""
        names = (path.name for path in self._directory.iterdir())
        return tuple(sorted(name for name in names if not name.startswith(".") and name != TEMPLATE_MAKER))


def _running_uids() -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(entry.stat().st_uid)
            except FileNotFoundError:
                continue
    return found
