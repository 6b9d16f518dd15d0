"""Makes a fresh data directory with nobody in it but the server's own internal account."""

from pathlib import Path

from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql.programs import program, run

PACKAGE = "mariadb-server-core"

_INSTALL_TIMEOUT_S = 300.0
_SECURE = b"""\
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User IN ('', 'root');
DELETE FROM mysql.db;
FLUSH PRIVILEGES;
"""


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
    if host.uid == 0:
        common += ("--user=root",)
    server = program(host, PACKAGE, "mariadbd", "mysqld")
    install = program(host, PACKAGE, "mariadb-install-db", "mysql_install_db")
    first = (install, "--no-defaults", *common, "--auth-root-authentication-method=socket", "--skip-test-db")
    run(host, Command(argv=first, timeout_s=_INSTALL_TIMEOUT_S))
    second = (server, "--no-defaults", *common, "--bootstrap", "--skip-networking")
    run(host, Command(argv=second, stdin=_SECURE, timeout_s=_INSTALL_TIMEOUT_S))
