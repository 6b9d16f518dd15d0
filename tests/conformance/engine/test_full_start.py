"""A server that cannot start because its volume is full says so, at once, and starts when there is room again."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.conformance.engine.test_full_volume import fill, kill_all, small, template_mib
from tests.support.guests import wait_for
from tests.support.servers import Server

from trove.core.errors import GuestError
from trove.core.status import ServiceStatus

__all__ = ["small", "template_mib"]

pytestmark = pytest.mark.manager("mariadb", "mysql", "postgresql")
"""Redis and Valkey start all the same, closed to writes."""


def test_a_start_on_a_full_volume_is_refused_by_that_name_and_leaves_no_server(small: Server) -> None:
    small.prepare()
    tenant = small.new_tenant()
    with closing(small.connect(tenant)) as session:
        session.put("early", "value")
    kill_all(small)
    wait_for(lambda: small.worker.call("host.server_pid") is None, "the end of the server")
    log = small.guest.settings.log_dir / "error.log"
    ballast, before = fill(small), size(log)
    for _ in range(2):
        with pytest.raises(GuestError, match="full"):
            small.call("start")
        assert small.worker.call("host.server_pid") is None
    assert size(log) == before, "a server was started that could not work"
    ballast.unlink()
    small.call("start")
    assert small.call("probe") is ServiceStatus.HEALTHY
    with closing(small.connect(tenant)) as session:
        assert session.get("early") == "value"


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
