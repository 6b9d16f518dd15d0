"""Runs commands as an ordinary user of this machine: no rights, no name, a home and a temporary directory of its own."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FIRST_UID, UIDS = 60600, 400
"""Numbers that Debian gives to nobody, and the local cloud neither."""

GRACE_S = 5.0
"""How long what was told to end may take for it."""


@dataclass(frozen=True, kw_only=True)
class OrdinaryUser:
    """A user who may write in `home` only. Only root can make one."""

    uid: int
    home: Path

    def run(self, argv: Sequence[str], *, readable: Sequence[Path], timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """Run a command that needs these directories, which may lie below one that is closed to others, such as root's home."""
        script = f'{_view(readable)}exec setpriv --reuid={self.uid} --regid={self.uid} --clear-groups --bounding-set=-all "$@"'
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *argv],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def processes(self) -> dict[int, str]:
        """Return the command lines of the user's processes by pid; those that have ended and wait for init do not count."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if entry.stat().st_uid == self.uid and state not in {"Z", "X"}:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Make a user; afterwards its processes and files are gone, and any process that was left fails the test."""
    user = OrdinaryUser(uid=FIRST_UID + os.getpid() % UIDS, home=Path(tempfile.mkdtemp(prefix="trove-u-")))
    os.chown(user.home, user.uid, user.uid)
    try:
        yield user
    finally:
        until = time.monotonic() + GRACE_S
        while (left := user.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(user.home, ignore_errors=True)
    assert not left, f"processes of the user were left behind: {left}"


def python_and_tree() -> list[Path]:
    """Return the directories that this Python, its packages and the tests lie in."""
    return [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, Path(__file__).parents[2])]


def _view(readable: Sequence[Path]) -> str:
    """Return shell commands that, in a mount namespace of their own, show of closed directories just what must be read."""
    script = ""
    for above in sorted({one for path in readable for one in [_closed(path)] if one is not None}):
        inside = [(shlex.quote(str(path)), f"$kept/{number}") for number, path in enumerate(readable) if above in path.parents]
        script += "kept=$(mktemp -d); mount -t tmpfs -o mode=0755 tmpfs $kept; "
        script += "".join(f"mkdir {aside}; mount --bind {path} {aside}; " for path, aside in inside)
        script += f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(above))}; "
        script += "".join(f"mkdir -p {path}; mount --bind {aside} {path}; " for path, aside in inside)
        script += "umount -l $kept; rmdir $kept; "
    return script


def _closed(path: Path) -> Path | None:
    """Return the highest directory above `path` that others may not pass, None when there is none."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & 0o001), None)
