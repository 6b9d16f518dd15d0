"""A backup becomes an instance of a later version where the engine can begin with its data, with its users and its rows."""

import pytest
from tests.conformance.engine.conftest import Build
from tests.conformance.engine.test_backups import keys, put
from tests.support.editions import Edition
from tests.support.served_store import Store
from tests.support.servers import Server

from trove.core.status import ServiceStatus
from trove.datastores.contract import Facet

pytestmark = [pytest.mark.facet(Facet.BACKUPS, Facet.USERS), pytest.mark.manager("mariadb", "redis")]
"""PostgreSQL needs pg_upgrade for that: the API refuses it, and says so."""


def test_a_backup_comes_back_in_a_later_version(fresh: Server, build: Build, store: Store, target: Edition) -> None:
    tenant = fresh.new_tenant()
    put(fresh, tenant, "early")
    backup = store.back_up(fresh)
    other = build(target)
    assert target.spec.can_restore(fresh.edition.version, target.version)
    store.restore(other, backup)
    other.prepare()
    assert other.call("version").startswith(target.version)
    assert keys(other, tenant) == {"early"}
    put(other, tenant, "late")
    another = other.new_tenant()
    put(other, another, "its own")
    other.restart()
    assert other.call("probe") is ServiceStatus.HEALTHY
    assert keys(other, tenant) >= {"early", "late"}
    assert "its own" in keys(other, another)
