"""Locks between task managers on the servers that may also hold the state database."""

import pytest
from tests.support import lock_promises

from trove.core import errors
from trove.workflow.locks import Locks

SERVERS = ("mariadb", "postgresql")


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue(request.param)
    server.recreate("locks")
    return str(server.lock_url("locks"))


def test_the_death_of_the_holder_frees_the_lock(url: str) -> None:
    lock_promises.the_death_of_the_holder_frees_the_lock(url)


def test_a_lock_is_held_once_whoever_asks(url: str) -> None:
    lock_promises.a_lock_is_held_once_whoever_asks(url)


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_a_server_that_is_away_is_unavailable_and_its_password_is_not_told(scheme: str) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        Locks(f"{scheme}://trove:hunter2@127.0.0.1:1/trove", "member")
    assert "hunter2" not in str(caught.value)
