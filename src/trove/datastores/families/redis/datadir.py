"""The data directory of a server: its users, and its data as a base and the commands after it (append-only file).

The data are never in a dump beside that: a server that keeps an append-only file does not look at one. Source: "Persistence" of
Redis's and Valkey's manuals.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host
from trove.datastores.families.redis import acl

USERS = "users.acl"

_FOLDER = "appendonlydir"
_NAME = "appendonly.aof"
_BASE = f"{_NAME}.1.base.rdb"
_LONGEST_S = 7 * 24 * 3600.0

OPTIONS = (
    ("appendonly", "yes"),
    ("appenddirname", _FOLDER),
    ("appendfilename", _NAME),
    ("aof-use-rdb-preamble", "yes"),
    ("dbfilename", "dump.rdb"),
    ("save", ""),
)
"""What a server must be started with, so that it finds its data."""


def is_made(folder: Path) -> bool:
    """Tell whether this is a data directory; it may have no data yet."""
    return (folder / USERS).is_file()


def make(host: Host, folder: Path) -> None:
    """Make an empty data directory without tenants' users and without any secret."""
    host.make_dir(folder)
    write_users(host, folder, ())


def read_users(host: Host, folder: Path) -> list[str]:
    """Return the lines of the users' file."""
    return (host.read_file(folder / USERS) or b"").decode().splitlines()


def write_users(host: Host, folder: Path, lines: Sequence[str], *, lasting: bool = False) -> None:
    """Replace the users' file. A server reads it when it starts."""
    content = "".join(f"{line}\n" for line in lines).encode()
    if host.read_file(folder / USERS) != content:
        host.write_file(folder / USERS, content, lasting=lasting)


def admit_agent(host: Host, folder: Path, password: str) -> None:
    """Have the agent let in at the next start, whatever the file says of it."""
    write_users(host, folder, acl.complete(read_users(host, folder), password))


def fill(host: Host, folder: Path, dump: Iterable[bytes], users: Callable[[], Sequence[str]]) -> None:
    """Make a data directory from a dump (RDB) that is streamed into it, and from users, who are asked for after that."""
    base = folder / _FOLDER / _BASE
    host.make_dir(base.parent)
    program = host.find_program("dd")
    if program is None:
        raise GuestError("dd is not installed on this server: apt-get install coreutils")
    command = Command(argv=(program, f"of={base}", "bs=256K", "iflag=fullblock", "status=none"), timeout_s=_LONGEST_S)
    with host.stream(command, dump) as silence:
        for _ in silence:
            pass
    host.write_file(base.with_name(f"{_NAME}.manifest"), f"file {_BASE} seq 1 type b\n".encode(), lasting=False)
    write_users(host, folder, users())
