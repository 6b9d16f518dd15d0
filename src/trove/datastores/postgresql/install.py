"""Makes a fresh data directory with nobody in it but the agent's own account."""

import os
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Host
from trove.datastores.postgresql.naming import ADMIN
from trove.datastores.postgresql.programs import major_of, program, run

IDENTITY = "trove.identity"
"""File in a data directory that goes wherever the data go: copies of one history have the same, and no others do."""

_INSTALL_TIMEOUT_S = 300.0


def initialise(host: Host, target: Path, major: int) -> None:
    """Make the data directory `target`, which must not exist, below the data volume.

    Its own rules for logging in let the agent's account in over Unix sockets, for pg_upgrade; the server runs with others.
    """
    if host.uid == 0:
        raise GuestError("PostgreSQL refuses to run as root: let the guest agent run as another user.")
    run(
        host,
        program(host, major, "initdb"),
        f"--pgdata={target}",
        f"--username={ADMIN}",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--no-sync",  # the caller syncs
        "--no-instructions",
        named=True,
        timeout_s=_INSTALL_TIMEOUT_S,
    )


def use_template(host: Host, target: Path, major: int) -> bool:
    """Copy the prepared data directory to `target`, if there is one of that version; return whether."""
    template = host.template_dir
    if template is None or major_of(template) != major:
        return False
    host.copy_tree(template, target)
    for place, folders, _ in os.walk(target):
        for folder in folders:
            Path(place, folder).chmod(0o700)
    target.chmod(0o700)
    return True


def begin_history(host: Host, data: Path) -> None:
    """Tell the data in a directory from those of all other servers, also of those made from the same template or backup."""
    host.write_file(data / IDENTITY, os.urandom(16).hex().encode(), lasting=False)
