"""Tenants of Redis and Valkey who take all connections that there are do not lock the agent out."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from tests.support.dialects import Gone, LoginRefused
from tests.support.servers import Server

from trove.core.accounts import User
from trove.core.status import ServiceStatus

pytestmark = pytest.mark.manager("redis", "valkey")

LEAST = 50
"""The smallest `maxclients` that a configuration group may have."""


@contextmanager
def crowd(server: Server) -> Iterator[None]:
    """Take connections as a tenant until the server gives no more."""
    tenant = server.new_tenant()
    with ExitStack() as stack:
        for _ in range(LEAST + 10):
            try:
                stack.enter_context(closing(server.connect(tenant)))
            except (Gone, LoginRefused):
                break
        else:
            pytest.fail("the server gives more connections than it is to give")
        yield


def test_the_agent_works_on_while_tenants_hold_all_connections(fresh: Server) -> None:
    config = fresh.config(maxclients=LEAST)
    assert fresh.call("apply_config", config, at_restart=()) is False
    assert fresh.call("probe") is ServiceStatus.HEALTHY
    with crowd(fresh):
        for _ in range(3):
            assert fresh.call("probe") is ServiceStatus.HEALTHY
        fresh.call("create_users", [User(name="late", password="pass-word-2B")])
        assert "late" in fresh.users()
        # The way out.
        assert fresh.call("apply_config", fresh.config(maxclients=2 * LEAST), at_restart=()) is False
        with closing(fresh.connect(fresh.new_tenant())) as session:
            session.put("room", "again")
    assert fresh.call("probe") is ServiceStatus.HEALTHY


def test_a_server_that_was_started_anew_is_asked_anew(fresh: Server) -> None:
    fresh.call("apply_config", fresh.config(maxclients=LEAST), at_restart=())
    for _ in range(2):
        assert fresh.call("probe") is ServiceStatus.HEALTHY
        with crowd(fresh):
            assert fresh.call("probe") is ServiceStatus.HEALTHY
        fresh.restart()
