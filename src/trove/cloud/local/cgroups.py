"""Memory limits by control groups, version 1 or 2, where the machine lets us make them.

An instance gets the memory of its flavor and `HEADROOM_MIB` for its agent: the flavor's memory is the database server's.
"""

from contextlib import suppress
from pathlib import Path

from trove.cloud.local.commands import run
from trove.cloud.local.processes import wait_until
from trove.core.units import MIB

HEADROOM_MIB = 96

REMOVE_TIMEOUT_S = 5.0

_ROOT = Path("/sys/fs/cgroup")
_PARENT = "trove"


class MemoryGroups:
    """The control groups of all local clouds of the machine, in one parent group."""

    def __init__(self, root: Path, limit_file: str) -> None:
        self._parent = root / _PARENT
        self._limit_file = limit_file

    @property
    def version(self) -> str:
        """Return `v1` or `v2`."""
        return "v2" if self._limit_file == "memory.max" else "v1"

    def ensure(self, name: str, *, ram_mib: int) -> Path:
        """Make the group with its limit, and return the file into which a process writes its pid to enter. May run twice."""
        group = self._parent / name
        for _ in range(5):
            with suppress(FileNotFoundError):
                self._parent.mkdir(exist_ok=True)
                if self.version == "v2":
                    (self._parent / "cgroup.subtree_control").write_text("+memory")
                group.mkdir(exist_ok=True)
                (group / self._limit_file).write_text(str((ram_mib + HEADROOM_MIB) * MIB))
                break
        return group / "cgroup.procs"

    def remove(self, name: str) -> None:
        """Remove the group, whose processes have just ended. Missing is fine. Raises `OSError` when one is still in it."""
        group = self._parent / name

        def removed() -> bool:
            try:
                group.rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                return False
            return True

        if not wait_until(removed, REMOVE_TIMEOUT_S):
            group.rmdir()
        with suppress(OSError):
            self._parent.rmdir()


def probe(name: str) -> MemoryGroups | None:
    """Return the memory groups of this machine, None when no process can be put under a limit."""
    for root, limit_file in ((_ROOT, "memory.max"), (_ROOT / "memory", "memory.limit_in_bytes")):
        groups = MemoryGroups(root, limit_file)
        try:
            if limit_file == "memory.max" and "memory" not in (root / "cgroup.subtree_control").read_text().split():
                (root / "cgroup.subtree_control").write_text("+memory")
            entry = groups.ensure(name, ram_mib=256)
            code, _ = run((*join_prefix(entry), "/bin/true"))
        except OSError:
            continue
        finally:
            with suppress(OSError):
                groups.remove(name)
        if code == 0:
            return groups
    return None


def join_prefix(entry: Path | None) -> tuple[str, ...]:
    """Return the beginning of a command line that puts itself into a group and goes on with the rest."""
    if entry is None:
        return ()
    return ("/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(entry))
