"""MySQL's words for what the family does."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from trove.core.errors import TroveError
from trove.core.tls import TlsMode
from trove.datastores.contract import Spec
from trove.datastores.families.mysql.dialect import AccountWords, Dialect, Variable
from trove.datastores.families.mysql.naming import ADMIN, Names
from trove.datastores.families.mysql.sql import Session
from trove.datastores.families.oracle_mysql.install import PACKAGE, initialise
from trove.datastores.families.oracle_mysql.passwords import identified, password_hash, salt_of
from trove.datastores.tlsfiles import TlsFiles

# Statements of such a file are one line each, and know no conditions: hence the prepared ones.
_FIRST_SQL = """\
SET SESSION sql_log_bin = 0;
SET SESSION sql_mode = '';
SET @sound = (SELECT COUNT(*) FROM mysql.user WHERE User = '{admin}' AND Host = 'localhost' AND account_locked = 'N' \
AND plugin = 'caching_sha2_password' AND authentication_string = '{hash}' AND Super_priv = 'Y' AND Grant_priv = 'Y');
SET @statement = IF(@sound, 'DO 0', 'DROP USER IF EXISTS {admin}@localhost');
PREPARE statement FROM @statement;
EXECUTE statement;
SET @statement = IF(@sound, 'DO 0', "CREATE USER {admin}@localhost IDENTIFIED WITH caching_sha2_password AS '{hash}'");
PREPARE statement FROM @statement;
EXECUTE statement;
SET @statement = IF(@sound, 'DO 0', 'GRANT ALL PRIVILEGES ON *.* TO {admin}@localhost WITH GRANT OPTION');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
"""
_SESSION = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', max_execution_time = 0, sql_log_off = 1"
"""Tenants may set the first two for all other sessions. The last keeps the agent's statements out of the general log."""
_VARIABLES = """
SELECT LOWER(m.VARIABLE_NAME), m.DATA_TYPE, g.VARIABLE_VALUE
FROM performance_schema.variables_metadata m JOIN performance_schema.global_variables g USING (VARIABLE_NAME)
WHERE LOWER(m.VARIABLE_NAME) IN %s"""
_KINDS = {"Integer": "BIGINT", "Numeric": "DOUBLE"}
_SESSIONS_OF = """
SELECT ID FROM information_schema.PROCESSLIST WHERE BINARY USER = BINARY %s
AND (%s OR LEFT(HOST, LENGTH(HOST) - LENGTH(SUBSTRING_INDEX(HOST, ':', -1)) - 1) LIKE %s)"""

_OWN_CERTIFICATE = "server-cert.pem"

_OPTIONS = (
    "--mysqlx=OFF",
    # What a superuser of the tenant persists could keep the server from starting.
    "--persisted-globals-load=OFF",
    "--plugin-load-add=clone=mysql_clone.so",
    # Backups and replicas are made by the plugin CLONE, which leaves out what these hold.
    "--disabled-storage-engines=MyISAM,MRG_MYISAM,CSV,ARCHIVE,FEDERATED",
    "--log-bin=binlog",
    "--relay-log=relay",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
)


def dialect(spec: Spec, names: Names) -> Dialect:
    """Return the dialect of MySQL, or of a build of it."""
    return Dialect(
        title=spec.title,
        file_name="mysql",
        port=spec.tcp_ports[0],
        programs=("mysqld",),
        package=PACKAGE,
        names=names,
        logs=spec.logs,
        session=_SESSION,
        accounts=AccountWords(
            table="mysql.user",
            # A role is an account that nobody can log in with, made so by CREATE ROLE.
            is_user="NOT (account_locked = 'Y' AND password_expired = 'Y' AND authentication_string = '')",
            identified=identified,
            end_sessions=_end_sessions,
        ),
        first_sql=_first_sql,
        initialise=initialise,
        check_options=("--validate-config", "--secure-file-priv=", "--mysqlx=OFF"),
        variables=_variables,
        reload_tls=_reload_tls,
        options=_OPTIONS,
    )


def _first_sql(password: str) -> str:
    # Always the same for a password, so that it can be told whether that is set: it is of 256 random bits.
    return _FIRST_SQL.format(admin=ADMIN, hash=password_hash(password, salt_of(password)))


def _variables(sql: Session, names: Collection[str]) -> Mapping[str, Variable]:
    # Whether one can be changed while the server runs, it does not tell in advance: it says so (1238) when it cannot.
    rows = sql.run(_VARIABLES, tuple(names))
    return {name: Variable(kind=_KINDS.get(kind, kind), read_only=False, value=value) for name, kind, value in rows}


def _reload_tls(sql: Session, files: TlsFiles, data: Path) -> bool:
    """Without files of the tenant's there are those that the server has made for itself when it first started."""
    mode = files.mode()
    if mode is None and not (data / _OWN_CERTIFICATE).exists():
        return True
    if mode is None:
        paths = {"ssl_cert": _OWN_CERTIFICATE, "ssl_key": "server-key.pem", "ssl_ca": "ca.pem"}
    else:
        paths = {"ssl_cert": str(files.certificate), "ssl_key": str(files.key), "ssl_ca": str(files.authorities)}
    for variable, path in paths.items():
        sql.run(f"SET GLOBAL {variable} = %s", path)
    sql.run("ALTER INSTANCE RELOAD TLS")
    sql.run("SET GLOBAL require_secure_transport = %s", "OFF" if mode in {None, TlsMode.BASIC} else "ON")
    return False


def _end_sessions(sql: Session, user: str, host: str) -> None:
    for (number,) in sql.run(_SESSIONS_OF, user, "/" in host, host):
        with suppress(TroveError):  # gone by itself
            sql.run(f"KILL {int(number)}")
