"""Finds PostgreSQL's programs, which are there once for each major version, and runs them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host

KNOWN = (15, 16, 17, 18, 19)
"""Major versions that are looked for."""

LONGEST_S = 7 * 24 * 3600.0
"""The control plane's deadline comes first; this is for a program that hangs in an agent that nobody asks any more."""

_PLACE = "/usr/lib/postgresql/{}/bin/{}"
_NO_NAME = "libnss_wrapper.so"
_ID_TIMEOUT_S = 30.0


def installed(host: Host) -> tuple[int, ...]:
    """Return the major versions of the servers that the sandbox has, in order."""
    return tuple(major for major in KNOWN if host.find_program(_PLACE.format(major, "postgres")) is not None)


def newest(host: Host) -> int:
    """Return the newest of them; raises `GuestError` that says how to install one."""
    found = installed(host)
    if not found:
        raise GuestError("PostgreSQL is not installed on this server: apt-get install postgresql")
    return found[-1]


def program(host: Host, major: int, name: str) -> str:
    """Return the path of a program of a major version; raises `GuestError` that says how to install it."""
    found = host.find_program(_PLACE.format(major, name))
    if found is None:
        raise GuestError(f"{name} of PostgreSQL {major} is not installed on this server: apt-get install postgresql-{major}")
    return found


def major_of(data: Path) -> int | None:
    """Return the major version that a data directory is of, None when it is none."""
    try:
        return int((data / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def run(
    host: Host, *argv: str, named: bool = False, secrets: Mapping[str, bytes] | None = None, timeout_s: float = LONGEST_S
) -> str:
    """Run a program to its end and return what it said. Raises `GuestError` with its complaints when it fails.

    Some programs insist that their user has a name: these are `named`.
    """
    command = Command(argv=argv, env=_name(host) if named else {}, secret_files=secrets or {}, timeout_s=timeout_s)
    finished = host.run(command)
    said = (finished.stderr + finished.stdout).decode(errors="replace")
    if finished.returncode:
        raise GuestError(f"{_title(argv)} failed: {complaint(said.splitlines()) or said.strip()[-500:]}")
    return said


def complaint(lines: Sequence[str]) -> str:
    """Return the lines that tell what is wrong, the last three at most; empty when none does."""
    marks = ("FATAL", "PANIC", "ERROR", "error:", "fatal:", "could not", "unrecognized", "invalid value", "syntax error")
    found = [line.strip() for line in lines if any(mark in line for mark in marks) and "contains errors" not in line]
    return " ".join(found[-3:])[:1000]


def _title(argv: Sequence[str]) -> str:
    return Path(next((word for word in argv if word.startswith("/usr/lib/postgresql/")), argv[0])).name


def _name(host: Host) -> Mapping[str, str]:
    """Return an environment in which the user has a name although the system has none for it."""
    if host.run(Command(argv=("id", "-un"), timeout_s=_ID_TIMEOUT_S)).returncode == 0:
        return {}
    users, groups = host.run_dir / "passwd", host.run_dir / "group"
    host.write_file(users, f"trove:x:{host.uid}:{host.gid}::/:/bin/false\n".encode(), lasting=False)
    host.write_file(groups, f"trove:x:{host.gid}:\n".encode(), lasting=False)
    wrapper = {"LD_PRELOAD": _NO_NAME, "NSS_WRAPPER_PASSWD": str(users), "NSS_WRAPPER_GROUP": str(groups)}
    if host.run(Command(argv=("id", "-un"), env=wrapper, timeout_s=_ID_TIMEOUT_S)).returncode:
        raise GuestError(
            f"The system has no name for user {host.uid}, which PostgreSQL insists on: give it one, run database servers "
            "in bubblewrap, or apt-get install libnss-wrapper."
        )
    return wrapper
