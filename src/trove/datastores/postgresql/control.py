"""Reads what a data directory says of itself without a server. Source: "pg_controldata" of PostgreSQL's manual."""

from collections.abc import Mapping
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host

CLEAN = frozenset({"shut down", "shut down in recovery"})

_TIMEOUT_S = 60.0


def control_data(host: Host, program: str, data: Path) -> Mapping[str, str]:
    """Return what pg_controldata prints, by its labels."""
    finished = host.run(Command(argv=(program, "-D", str(data)), env={"LC_ALL": "C"}, timeout_s=_TIMEOUT_S))
    if finished.returncode:
        raise GuestError(f"The data directory cannot be read: {finished.stderr.decode(errors='replace').strip()}")
    lines = finished.stdout.decode(errors="replace").splitlines()
    return {label.strip(): value.strip() for label, _, value in (line.partition(":") for line in lines)}
