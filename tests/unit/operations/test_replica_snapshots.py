"""The backup from which a replica is built: nobody's but the replica's, and gone when it is of no use."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.engines.everything import spec as everything
from tests.support.stepped import SteppedWorld, idle_instance, stepped_world, unseen
from tests.support.world import CALLER

from trove.core.errors import Unavailable
from trove.core.instances import Instance
from trove.core.quotas import Resource
from trove.core.status import shown_status
from trove.datastores import registry
from trove.datastores.contract import ReplicaBuild
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.instance import delete, replicate
from trove.store import backups, instances, operations, quotas
from trove.workflow.crash import Point

CONTAINER = "database_replicas"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    with stepped_world(tmp_path) as made:
        yield made


def get(here: SteppedWorld, instance_id: str) -> Instance:
    with here.store.reading() as tx:
        return instances.get(tx, instance_id)


def shown(here: SteppedWorld, instance_id: str) -> str:
    found = get(here, instance_id)
    return shown_status(found.task, found.server_status)


def ask_for_one(here: SteppedWorld) -> tuple[str, str]:
    source = idle_instance(here)
    return source, replicate.start(here.doors, CALLER, replicate.CreateReplicas(name="copy", source_id=source)).id


def kept(here: SteppedWorld) -> list[str]:
    return [info.name for info in here.objects.list(CONTAINER)]


def jobs(here: SteppedWorld, instance_id: str) -> list[str]:
    return [kind for guest, kind, _ in here.guests.jobs if guest == instance_id]


def test_it_is_no_backup_of_the_tenant_and_gone_when_the_replica_serves(here: SteppedWorld) -> None:
    _, replica = ask_for_one(here)
    most = 0

    def look(_point: Point) -> None:
        nonlocal most
        most = max(most, len(kept(here)))

    here.run_until_quiet(look)
    assert shown(here, replica) == "ACTIVE"
    assert most > 0
    assert kept(here) == []
    with here.store.reading() as tx:
        assert not backups.live_ids(tx)
        used = {each.resource: each.in_use for each in quotas.limits_of(tx, CALLER.project_id, {})}
    assert used[Resource.BACKUPS] == 0


def test_its_tickets_are_stored_nowhere(here: SteppedWorld) -> None:
    ask_for_one(here)
    here.run_until_quiet(unseen)
    given = [args for _, kind, args in here.guests.jobs if kind in {"backup", "prepare_replica"}]
    tickets = [given[0]["ticket"], *(each["ticket"] for each in given[1]["restore"]["chain"])]
    stored = here.path.read_bytes() + here.path.with_name("trove.sqlite-wal").read_bytes()
    assert tickets
    assert not [each for each in tickets if str(each["query"]).encode() in stored]


@pytest.mark.parametrize("job", ["backup", "prepare_replica"])
def test_nothing_is_left_of_it_when_the_replica_does_not_come(here: SteppedWorld, job: str) -> None:
    here.script.failing[job] = "The disk is full."
    source, replica = ask_for_one(here)
    here.run_until_quiet(unseen)
    assert shown(here, replica) == "ERROR"
    assert "disk is full" in get(here, replica).fault.message  # type: ignore[union-attr]
    assert shown(here, source) == "ACTIVE"
    assert kept(here) == []


def test_what_could_not_be_removed_goes_with_the_replica(here: SteppedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _, replica = ask_for_one(here)

    def away(*_args: object) -> None:
        raise Unavailable("The object store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryObjectStore, "clear", away)
        here.run_until_quiet(unseen)
    assert shown(here, replica) == "ACTIVE"
    assert kept(here)
    delete.start(here.doors, CALLER, replica)
    here.run_until_quiet(unseen)
    assert kept(here) == []


def test_an_engine_whose_replicas_copy_the_data_themselves_needs_none(
    here: SteppedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = replace(everything.SPEC, replica_build=ReplicaBuild.DIRECT)
    known = registry.spec
    monkeypatch.setattr(registry, "spec", lambda manager: direct if manager == direct.manager else known(manager))
    source, replica = ask_for_one(here)
    here.run_until_quiet(unseen)
    assert shown(here, replica) == "ACTIVE"
    assert jobs(here, source) == ["prepare", "get_replication_snapshot"]
    with here.store.reading() as tx:
        (created,) = operations.page(tx, project_id=CALLER.project_id, resource_id=replica, limit=9).items
    assert "snapshot_container" not in created.args
