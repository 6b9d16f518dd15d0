"""MariaDB's words for what the family does."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from trove.core.tls import TlsMode
from trove.datastores.families.mysql.dialect import AccountWords, Dialect, Variable
from trove.datastores.families.mysql.naming import ADMIN
from trove.datastores.families.mysql.sql import Session
from trove.datastores.mariadb.install import PACKAGE, initialise
from trove.datastores.mariadb.naming import NAMES
from trove.datastores.mariadb.spec import LOGS, SPEC
from trove.datastores.tlsfiles import TlsFiles

_FIRST_SQL = """\
SET SESSION sql_log_bin = 0;
SET SESSION sql_mode = '';
SET @sound = (SELECT COUNT(*) FROM mysql.global_priv WHERE User = '{admin}' AND Host = 'localhost' \
AND JSON_VALUE(Priv, '$.plugin') = 'mysql_native_password' AND JSON_VALUE(Priv, '$.authentication_string') = '{hash}' \
AND BIT_COUNT(JSON_VALUE(Priv, '$.access')) >= 39 AND COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) = 0);
SET @create = 'CREATE OR REPLACE USER \\'{admin}\\'@\\'localhost\\' IDENTIFIED VIA mysql_native_password USING \\'{hash}\\'';
SET @grant = 'GRANT ALL PRIVILEGES ON *.* TO \\'{admin}\\'@\\'localhost\\' WITH GRANT OPTION';
EXECUTE IMMEDIATE IF(@sound, 'DO 0', @create);
EXECUTE IMMEDIATE IF(@sound, 'DO 0', @grant);
"""
_VARIABLES = (
    "SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, READ_ONLY, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES "
    "WHERE VARIABLE_NAME IN %s"
)
_SESSION = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', max_statement_time = 0, sql_log_off = 1"
"""Tenants may set the first two for all other sessions. The last keeps the agent's statements out of the general log."""


def password_hash(password: str) -> str:
    """Return what mysql_native_password stores: so the password itself is never in a statement, log or process list."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def _identified(password: str) -> str:
    return f"IDENTIFIED VIA mysql_native_password USING '{password_hash(password)}'"


def _end_sessions(sql: Session, user: str, host: str) -> None:
    sql.run(f"KILL HARD CONNECTION USER {sql.account(user, host)}")


def _first_sql(password: str) -> str:
    return _FIRST_SQL.format(admin=ADMIN, hash=password_hash(password))


def _variables(sql: Session, names: Collection[str]) -> Mapping[str, Variable]:
    rows = sql.run(_VARIABLES, tuple(each.upper() for each in names))
    return {name: Variable(kind=kind, read_only=read_only == "YES", value=value) for name, kind, read_only, value in rows}


def _reload_tls(sql: Session, files: TlsFiles, _data: Path) -> bool:
    """Where the files are, and whether there is TLS at all, this server learns at its start alone."""
    mode = files.mode()
    ((path,),) = sql.run("SELECT @@GLOBAL.ssl_cert")
    has_files = str(path) == str(files.certificate)
    if mode is not None and has_files:
        sql.run("FLUSH NO_WRITE_TO_BINLOG SSL")
    if mode is None or has_files:
        # Without TLS it would let nobody in. What is allowed again is so at once.
        sql.run("SET GLOBAL require_secure_transport = %s", "OFF" if mode in {None, TlsMode.BASIC} else "ON")
    return has_files != (mode is not None)


DIALECT = Dialect(
    title=SPEC.title,
    file_name="mariadb",
    port=SPEC.tcp_ports[0],
    programs=("mariadbd", "mysqld"),
    package=PACKAGE,
    names=NAMES,
    logs=LOGS,
    session=_SESSION,
    accounts=AccountWords(
        table="mysql.global_priv",
        is_user="COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) = 0",
        identified=_identified,
        end_sessions=_end_sessions,
        withheld="READ ONLY ADMIN",
    ),
    first_sql=_first_sql,
    initialise=initialise,
    # "mariadbd options" of MariaDB's manual: it reads all options before it prints them.
    check_options=("--help", "--verbose"),
    variables=_variables,
    reload_tls=_reload_tls,
)
