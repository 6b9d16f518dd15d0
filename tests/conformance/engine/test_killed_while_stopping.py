"""A server that is killed while it stops, its binary log closed and its redo log not, starts again and has lost nothing."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.support.servers import Server

from trove.core.status import ServiceStatus

pytestmark = pytest.mark.manager("mariadb")

FLAGS = 4 + 17
"""Where the flags of the first event of a binary log are; the lowest bit says that a server has it open."""


def close_binary_log(server: Server) -> None:
    """Have the last binary log look as if it had been closed in order."""
    data = server.guest.settings.data_dir / "data"
    last = max(data.glob("mariadb-bin.[0-9]*"), key=lambda path: path.suffix)
    assert is_open(last)
    with last.open("r+b") as file:
        file.seek(FLAGS)
        file.write(b"\0")


def is_open(log: Path) -> bool:
    return bool(log.read_bytes()[FLAGS] & 1)


def test_what_was_acknowledged_before_the_binary_log_was_closed_is_there(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    keys = set()
    for turn in range(3):
        with closing(fresh.connect(tenant)) as session:
            for number in range(20):
                session.put(f"{turn}-{number}", "1")
                keys.add(f"{turn}-{number}")
        fresh.kill()
        close_binary_log(fresh)
        fresh.call("start")
        assert fresh.call("probe") is ServiceStatus.HEALTHY
        with closing(fresh.connect(tenant)) as session:
            assert session.keys() == keys
