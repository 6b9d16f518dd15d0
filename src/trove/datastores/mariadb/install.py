"""Makes a fresh data directory with nobody in it but the server's own internal account."""

import os
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command, Host

PACKAGE = "mariadb-server-core"

_INSTALL_TIMEOUT_S = 300.0
_SECURE = b"""\
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User IN ('', 'root');
DELETE FROM mysql.db;
FLUSH PRIVILEGES;
"""


def program(host: Host, *names: str) -> str:
    """Return the path of a program of MariaDB; raises `GuestError` that says how to install it."""
    found = host.find_program(*names)
    if found is None:
        raise GuestError(f"{names[0]} is not installed on this server: apt-get install {PACKAGE}")
    return found


def initialise(host: Host, target: Path) -> None:
    """Make the data directory `target`, which must not exist, below the data volume. Its redo log is small, for fast copies.

    It has a directory for temporary files to itself: a server that starts removes those of all others of its user from `/tmp`.
    """
    temporary = host.data_dir / "tmp"
    host.make_dir(temporary)
    common: tuple[str, ...] = (
        f"--datadir={target}",
        f"--tmpdir={temporary}",
        "--innodb-log-file-size=8M",
        "--innodb-buffer-pool-size=16M",
        "--skip-name-resolve",
    )
    if os.geteuid() == 0:
        common += ("--user=root",)
    server = program(host, "mariadbd", "mysqld")
    _run(
        host,
        program(host, "mariadb-install-db", "mysql_install_db"),
        "--no-defaults",
        *common,
        "--auth-root-authentication-method=socket",
        "--skip-test-db",
    )
    _run(host, server, "--no-defaults", *common, "--bootstrap", "--skip-networking", stdin=_SECURE)


def _run(host: Host, *argv: str, stdin: bytes | None = None) -> None:
    finished = host.run(Command(argv=argv, stdin=stdin, timeout_s=_INSTALL_TIMEOUT_S))
    if finished.returncode:
        words = (finished.stderr + finished.stdout).decode(errors="replace")
        errors = [line for line in words.splitlines() if "ERROR" in line or "rror:" in line] or words.splitlines()
        raise GuestError(f"{Path(argv[0]).name} failed: {' '.join(errors[:3])}")
