"""The conductor: stores what guests report, believes nobody more than the seal proves, and loses nothing."""

import logging
from datetime import timedelta

import pytest
from tests.support.world import CALLER, World, request

from trove.bus.contract import CONTROL, Message
from trove.conductor.manager import Manager
from trove.core.clock import utcnow
from trove.core.errors import Unavailable
from trove.core.json import JSON
from trove.operations.instance import create
from trove.store import guests, instances, roots
from trove.store.session import Database


def heartbeat(sender: str, status: str = "healthy", *, age_s: float = 0.0) -> Message:
    args: dict[str, JSON] = {"status": status, "agent_version": "1", "restarts": 0}
    return Message(sender=sender, method="heartbeat", args=args, sent=utcnow() - timedelta(seconds=age_s))


def job(sender: str, state: str = "DONE") -> Message:
    args: dict[str, JSON] = {"name": "op", "kind": "prepare", "state": state, "percent": 50, "step": "x", "error": None}
    return Message(sender=sender, method="report_job", args=args, sent=utcnow())


def root(sender: str) -> Message:
    return Message(sender=sender, method="report_root", args={"user": "ann"}, sent=utcnow())


@pytest.fixture
def instance_id(here: World) -> str:
    return create.start(here.doors, CALLER, request()).id


def status_of(here: World, instance_id: str) -> str:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id).guest.status.value


def test_a_mixed_batch_is_stored_whole(here: World, instance_id: str):
    Manager(here.database)([heartbeat(instance_id), job(instance_id), root(instance_id)])
    with here.database.reading() as tx:
        assert instances.get(tx, instance_id).guest.heard_at is not None
        found = guests.job(tx, instance_id, "op")
        assert found is not None
        assert found.state == "DONE"
        assert roots.enabled(tx, instance_id)


def test_the_latest_word_counts(here: World, instance_id: str):
    manager = Manager(here.database)
    manager([heartbeat(instance_id, "healthy"), heartbeat(instance_id, "crashed", age_s=60)])
    assert status_of(here, instance_id) == "healthy"
    manager([heartbeat(instance_id, "crashed", age_s=30)])
    assert status_of(here, instance_id) == "healthy"


def test_strangers_and_nonsense_are_dropped_and_the_rest_is_kept(
    here: World, instance_id: str, caplog: pytest.LogCaptureFixture
):
    nonsense = Message(sender=instance_id, method="heartbeat", args={"status": "splendid"}, sent=utcnow())
    unknown = Message(sender=instance_id, method="drop_tables", args={}, sent=utcnow())
    with caplog.at_level(logging.INFO):
        Manager(here.database)(
            [nonsense, unknown, heartbeat("no-such-id"), job("no-such-id"), root("no-such-id"), heartbeat(CONTROL)]
        )
        Manager(here.database)([heartbeat(instance_id)])
    assert status_of(here, instance_id) == "healthy"
    assert "no-such-id" in caplog.text
    assert "drop_tables" in caplog.text


def test_a_deleted_instance_is_not_brought_back(here: World, instance_id: str):
    with here.database.transaction() as tx:
        guests.forget(tx, instance_id)
        instances.mark_deleted(tx, instance_id, fence=None)
    Manager(here.database)([heartbeat(instance_id), job(instance_id), root(instance_id)])
    with here.database.reading() as tx:
        assert guests.job(tx, instance_id, "op") is None
        assert not roots.enabled(tx, instance_id)


def test_nothing_is_acknowledged_while_the_store_is_away(here: World, instance_id: str, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object, **__: object) -> None:
        raise Unavailable("The state database does not answer now.")

    monkeypatch.setattr(Database, "run", away)
    with pytest.raises(Unavailable):
        Manager(here.database)([heartbeat(instance_id)])


def test_a_report_that_comes_twice_changes_nothing(here: World, instance_id: str):
    manager = Manager(here.database)
    batch = [heartbeat(instance_id), job(instance_id), root(instance_id)]
    manager(batch)
    manager(batch)
    assert status_of(here, instance_id) == "healthy"
