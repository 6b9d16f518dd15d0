"""Tries a configuration without a start, and chooses what of it a running server can take now."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.parameters import MASK, looks_secret
from trove.datastores.contract import Command, Host
from trove.datastores.postgresql.options import read_config
from trove.datastores.postgresql.sql import Session

_CHECK_TIMEOUT_S = 60.0
_AT_START = frozenset({"postmaster", "internal"})
_PLACE = re.compile(r' in file "[^"]*" line \d+')
_TIME = re.compile(r"^.*?\b(?:LOG|FATAL|ERROR):\s+")


def check(host: Host, server: str, config: str, data: Path) -> None:
    """Raise `GuestError` when the server's own program refuses the configuration. The running server is not touched.

    Source: "postgres" of PostgreSQL's manual, `-C`, which reads the whole file before it tells the value of a parameter.
    """
    candidate = host.config_dir / "candidate.conf"
    host.write_file(candidate, config.encode(), lasting=False)
    line = (server, "-C", "config_file", "-D", str(data), "-c", f"config_file={candidate}")
    try:
        finished = host.run(Command(argv=line, timeout_s=_CHECK_TIMEOUT_S))
    finally:
        candidate.unlink(missing_ok=True)
    if finished.returncode:
        lines = [_PLACE.sub("", _TIME.sub("", each)) for each in finished.stderr.decode(errors="replace").splitlines()]
        words = " ".join(line for line in lines if "contains errors" not in line)[:500]
        raise GuestError(f"The database server refuses this configuration: {_hushed(words, read_config(config))}")


def choose(server: Session, running: Mapping[str, str], config: str, at_restart: Collection[str]) -> Mapping[str, str]:
    """Return what a server shall run with until its next start: what only a start can change, or shall, is as it was."""
    wanted = read_config(config)
    changed = [name for name in {*running, *wanted} if running.get(name) != wanted.get(name)]
    contexts = {row[0]: row[1] for row in server.run("SELECT lower(name), context FROM pg_settings")}
    waiting = {name for name in changed if name in at_restart or contexts.get(name) in _AT_START}
    return {
        **{name: value for name, value in wanted.items() if name not in waiting},
        **{name: value for name, value in running.items() if name in waiting},
    }


def need_applicable(server: Session, path: Path, config: str) -> None:
    """Raise `GuestError` naming what the running server would refuse of a file that it is about to read."""
    rows = server.run("SELECT name, error FROM pg_file_settings WHERE sourcefile = $1 AND error IS NOT NULL", str(path))
    if rows:
        words = "; ".join(f"{name or 'a line'}: {error}" for name, error in rows)
        raise GuestError(f"The database server refuses this configuration: {_hushed(words, read_config(config))}")


def _hushed(words: str, options: Mapping[str, str]) -> str:
    for option, value in options.items():
        if value and looks_secret(option):
            words = words.replace(value, MASK)
    return words
