"""A user of its own for the database server, on a machine that is the instance's alone, where the agent is root.

The agent gives up root's rights on files for those of that user: what a conquered server leaves in its directories, a link
to a secret perhaps, opens nothing to it. Only its own private directory it touches as itself.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trove.core.errors import GuestError
from trove.guestagent.roots import find_program

NAME = "database"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUser:
    """Whom programs run as. `setpriv` is the path of the program that makes them so."""

    uid: int
    gid: int
    setpriv: str

    def wrap(self, argv: Sequence[str], _env: Mapping[str, str], *, die_with_parent: bool = False) -> list[str]:
        """Return the command line that runs `argv` as this user, with no way to become another one."""
        line = [self.setpriv, f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs"]
        line += ["--inh-caps=-all", "--bounding-set=-all"]
        if die_with_parent:
            line += ["--pdeathsig", "KILL"]
        return [*line, "--", *argv]

    def take_on(self) -> None:
        """Touch files with this user's rights from now on, in this thread and in those that it starts."""
        _libc.setfsgid(self.gid)
        _libc.setfsuid(self.uid)
        if _libc.setfsuid(-1) != self.uid:
            raise GuestError(f"The guest agent cannot take on the rights of user {self.uid}; it must be started as root.")

    @contextmanager
    def as_root(self) -> Iterator[None]:
        """Touch files as root again, in this thread, for as long as the block lasts."""
        uid, gid = _libc.setfsuid(0), _libc.setfsgid(0)
        try:
            yield
        finally:
            _libc.setfsgid(gid)
            _libc.setfsuid(uid)

    def own(self, folder: Path) -> None:
        """Make a directory that belongs to this user."""
        folder.mkdir(exist_ok=True)
        os.chown(folder, self.uid, self.gid, follow_symlinks=False)
        folder.chmod(0o700)


def make_way(place: Path) -> None:
    """Make the directories above a place, which anybody can pass, whatever the umask says."""
    for above in reversed([parent for parent in place.parents if not parent.exists()]):
        above.mkdir(exist_ok=True)
        above.chmod(0o755)


def server_user(uid: int, gid: int) -> ServerUser:
    """Return the user with these numbers. Raises `GuestError` unless the agent is root and has what it needs."""
    if os.geteuid() != 0:
        raise GuestError("sandbox=user needs an agent that is started as root.")
    if uid == 0 or gid == 0:
        raise GuestError("The database server cannot run as root: uid and gid must be others.")
    setpriv = find_program(None, ["setpriv"])
    if setpriv is None:
        raise GuestError("setpriv is not installed: apt-get install util-linux")
    return ServerUser(uid=uid, gid=gid, setpriv=setpriv)
