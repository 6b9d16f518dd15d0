"""Makes a fresh data directory with nobody in it but the server's own internal accounts, and no secret."""

from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql.programs import program, run

PACKAGE = "mysql-server-core"

_INSTALL_TIMEOUT_S = 300.0
_SECURE = b"DROP USER root@localhost;\n"
_OWN = ("auto.cnf", "*.pem")
"""What each server must have for itself alone: its identity, and its keys."""


def initialise(host: Host, target: Path) -> None:
    """Make the data directory `target`, which must not exist, below the data volume. Its redo log is small, for fast copies."""
    temporary = host.data_dir / "tmp"
    host.make_dir(temporary)
    server = program(host, PACKAGE, "mysqld")
    argv = (
        server,
        "--no-defaults",
        "--initialize-insecure",
        f"--datadir={target}",
        f"--tmpdir={temporary}",
        "--init-file={secure}",
        "--secure-file-priv=",
        "--innodb-redo-log-capacity=8M",
        "--innodb-buffer-pool-size=32M",
        "--mysqlx=OFF",
    )
    run(host, Command(argv=argv, secret_files={"secure": _SECURE}, timeout_s=_INSTALL_TIMEOUT_S))
    remove_identity(target)


def remove_identity(data: Path) -> None:
    """Have the next server that starts with this data directory make an identity and keys of its own."""
    for pattern in _OWN:
        for file in data.glob(pattern):
            file.unlink()


def make_template(host: Host) -> None:
    """Make a data directory without tenants' accounts in `host.template_dir`, cleanly shut down, with no secret in it.

    `template_dir` must be below `data_dir`. One that is there is kept.
    """
    if host.template_dir is None:
        raise GuestError("There is no template directory to make.")
    if not host.template_dir.exists():
        initialise(host, host.template_dir)
