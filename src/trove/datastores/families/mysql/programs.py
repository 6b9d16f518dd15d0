"""Finds and runs the programs of an engine."""

from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host


def program(host: Host, package: str, *names: str) -> str:
    """Return the path of the first of these programs that is there; raises `GuestError` that says how to install it."""
    found = host.find_program(*names)
    if found is None:
        raise GuestError(f"{names[0]} is not installed on this server: apt-get install {package}")
    return found


def run(host: Host, command: Command) -> bytes:
    """Run a program to its end and return what it printed; raises `GuestError` with its first words of error when it fails."""
    finished = host.run(command)
    if finished.returncode:
        words = (finished.stderr + finished.stdout).decode(errors="replace")
        errors = [line for line in words.splitlines() if "ERROR" in line or "rror:" in line] or words.splitlines()
        raise GuestError(f"{Path(command.argv[0]).name} failed: {' '.join(errors[:3])}")
    return finished.stdout
