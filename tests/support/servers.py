"""A database server of an edition as the suite handles it: by its driver, beside it, and as a tenant over TCP."""

import os
import signal
from dataclasses import dataclass
from typing import Any, cast

from tests.support.dialects import ClientTls, Dialect, Session, Tenant, TlsDialect, dialect
from tests.support.editions import Edition
from tests.support.guests import Machine, Worker, wait_for

from trove.core.accounts import Database, User
from trove.core.ids import new_id
from trove.datastores.contract import ConfigInputs, Facet, Spec

PASSWORD = "pass-word-1A"


def accounts(spec: Spec, password: str = PASSWORD) -> dict[str, Any]:
    """Return what a new instance is told to make: user `app`, and databases if there are any; it has rights on `shop` alone."""
    has_databases = Facet.DATABASES in spec.facets
    users = [User(name="app", password=password, databases=("shop",) if has_databases else ())]
    databases = [Database(name=name) for name in ("shop", "blog") if has_databases]
    return {"databases": [each.to_json() for each in databases], "users": [each.to_json() for each in users]}


@dataclass(kw_only=True)
class Server:
    """A machine with a worker. Nothing is prepared on it before `prepare`."""

    edition: Edition
    guest: Machine
    worker: Worker

    @property
    def spec(self) -> Spec:
        return self.edition.spec

    @property
    def dialect(self) -> Dialect:
        return dialect(self.edition.manager)

    @property
    def address(self) -> str:
        return self.guest.address

    def call(self, verb: str, *args: object, **kwargs: object) -> Any:
        """Call a verb of the driver."""
        return self.worker.call(f"driver.{verb}", *args, **kwargs)

    def do(self, verb: str, **kwargs: object) -> Any:
        """Call a verb of the driver that reports progress."""
        return self.worker.call("with_progress", verb, **kwargs)

    def config(self, ram_mib: int = 512, **overrides: object) -> str:
        """Return the text of a configuration file."""
        inputs = ConfigInputs(
            instance_id=self.guest.instance_id, version=self.edition.version, ram_mib=ram_mib, overrides=overrides
        )
        return self.spec.render_config(inputs)

    def prepare(self, **overrides: object) -> None:
        """Make the server, and have it serve."""
        self.worker.call("prepare", self.config(**overrides))

    def restart(self) -> None:
        self.call("stop", timeout_s=30)
        self.call("start")

    def kill(self) -> None:
        """Kill the database server with -9 and see it end."""
        pid = self.worker.call("host.server_pid")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.worker.call("host.server_pid") is None, "the server's death")

    def new_agent(self) -> None:
        """Kill the worker, and go on with another one."""
        self.worker.kill()
        self.worker = self.guest.worker()

    def new_tenant(self, name: str | None = None) -> Tenant:
        """Make a user, with a database of its own where the engine has databases."""
        name = name or f"t{new_id()[:12]}"
        databases = (f"db_{name}",) if Facet.DATABASES in self.spec.facets else ()
        if databases:
            self.call("create_databases", [Database(name=databases[0])])
        self.call("create_users", [User(name=name, password=PASSWORD, databases=databases)])
        return Tenant(name=name, password=PASSWORD, database=databases[0] if databases else None)

    def connect(self, tenant: Tenant) -> Session:
        return self.dialect.connect(self.address, tenant)

    def connect_by_tls(self, tenant: Tenant, tls: ClientTls) -> Session:
        return cast("TlsDialect", self.dialect).connect_by_tls(self.address, tenant, tls)

    def shown(self, parameter: str) -> str:
        """Return the value that the running server has."""
        return self.dialect.shown(self.guest, self.worker, parameter)

    def users(self) -> list[str]:
        """Return the names of the tenant's users."""
        return [each.name for each in self.call("list_users", limit=1000, marker=None).items]

    def databases(self) -> list[str]:
        """Return the names of the tenant's databases."""
        return [cast("Database", each).name for each in self.call("list_databases", limit=1000, marker=None).items]
