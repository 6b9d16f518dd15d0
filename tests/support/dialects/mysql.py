"""MySQL as its tenants have it."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from tests.support.dialects import ClientTls, Dialect, LoginRefused, ServerParameter, Setting, Tenant
from tests.support.dialects.mysql_session import MySQLSession
from tests.support.guests import Machine, Worker

_ROOT = Tenant(name="root", password="only-for-looking")
_PARAMETERS = """
SELECT LOWER(m.VARIABLE_NAME), g.VARIABLE_VALUE, m.DATA_TYPE, m.MIN_VALUE, m.MAX_VALUE
FROM performance_schema.variables_metadata m JOIN performance_schema.global_variables g USING (VARIABLE_NAME)"""
_NUMBERS = {"Integer", "Numeric"}


class MySQL:
    live = Setting(name="max_connections", value=77, shown="77")
    restart = Setting(name="ft_min_word_len", value=7, shown="7")
    refused = Setting(name="sql_mode", value="NO_SUCH_MODE", shown="")
    deadly = Setting(name="innodb_buffer_pool_size", value=2**60, shown="")

    def connect(self, address: str, tenant: Tenant) -> MySQLSession:
        return MySQLSession(address, tenant)

    def connect_by_tls(self, address: str, tenant: Tenant, tls: ClientTls) -> MySQLSession:
        return MySQLSession.by_tls(address, tenant, tls)

    def shown(self, guest: Machine, worker: Worker, name: str) -> str:
        return str(as_root(guest, worker, f"SELECT @@GLOBAL.{name}")[0][0])

    def parameters(self, guest: Machine, worker: Worker) -> Mapping[str, ServerParameter]:
        # The server tells no bounds (both 0, or empty) of what has none.
        return {
            str(name): ServerParameter(
                value=str(value),
                minimum=float(low) if kind in _NUMBERS and float(high or 0) else None,
                maximum=float(high) if kind in _NUMBERS and float(high or 0) else None,
            )
            for name, value, kind, low, high in as_root(guest, worker, _PARAMETERS)
        }

    def write_to_log(self, log: str, address: str, tenant: Tenant, mark: str) -> None:
        if log == "error":
            with suppress(LoginRefused):
                self.connect(address, Tenant(name=mark, password="wrong")).close()
            return
        with closing(self.connect(address, tenant)) as session:
            if log == "slow_query":
                session.run("SET SESSION long_query_time = 0.01")
                session.run(f"SELECT SLEEP(0.05), '{mark}'")
            else:
                session.run(f"SELECT '{mark}'")


def as_root(guest: Machine, worker: Worker, statement: str) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement of the superuser, who may log in only meanwhile."""
    worker.call("driver.enable_root", _ROOT.password)
    try:
        with closing(MySQLSession(guest.address, _ROOT)) as session:
            return session.run(statement)
    finally:
        worker.call("driver.disable_root")


DIALECT: Dialect = MySQL()
