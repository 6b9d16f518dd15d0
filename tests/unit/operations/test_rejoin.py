"""Ejected sources and broken replicas on their way back into their set, with guests that follow a script."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.scenes import ejected_source, one_replica, replicated_set
from tests.support.stepped import SteppedWorld, idle_instance, stepped_world, unseen
from tests.support.world import CALLER

from trove.core.errors import Forbidden, InvalidInput, NotFound, NotReady
from trove.core.ids import new_id
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.status import ServerStatus, shown_status
from trove.operations.catalogue import KINDS
from trove.operations.instance import delete, promote, rebuild, rejoin, restart
from trove.operations.tls import change as change_tls
from trove.store import instances, operations, tls

ADMIN = replace(CALLER, is_admin=True)
ANEW = "It has writes that the source never got: it must be built anew."


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    with stepped_world(tmp_path) as made:
        yield made


@pytest.fixture
def ejected(here: SteppedWorld) -> str:
    return ejected_source(here)


@pytest.fixture
def source(here: SteppedWorld, ejected: str) -> str:
    with here.store.reading() as tx:
        (found,) = [each for each in instances.live_ids(tx) if instances.get(tx, each).replicas]
    return found


def get(here: SteppedWorld, instance_id: str) -> Instance:
    with here.store.reading() as tx:
        return instances.get(tx, instance_id)


def shown(here: SteppedWorld, instance_id: str) -> str:
    one = get(here, instance_id)
    return shown_status(one.task, one.server_status)


def last_operation(here: SteppedWorld) -> Operation:
    with here.store.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0]


def jobs(here: SteppedWorld, instance_id: str) -> list[str]:
    return [kind for guest, kind, _ in here.guests.jobs if guest == instance_id]


def fault(here: SteppedWorld, instance_id: str) -> str | None:
    found = get(here, instance_id).fault
    return found.message if found else None


def run(here: SteppedWorld, instance_id: str, source_id: str, *, rebuild: bool = False) -> Operation:
    rejoin.start(here.doors, CALLER, instance_id, source_id, rebuild=rebuild)
    assert shown(here, instance_id) == "BUILD"
    here.run_until_quiet(unseen)
    assert not here.guests.replication.split
    return last_operation(here)


def test_an_ejected_source_comes_back_as_a_replica_with_its_data(here: SteppedWorld, ejected: str, source: str) -> None:
    volume = get(here, ejected).volume
    assert run(here, ejected, source).error is None
    assert (shown(here, ejected), fault(here, ejected)) == ("ACTIVE", None)
    assert get(here, ejected).replica_of == source
    assert get(here, ejected).volume == volume
    role = here.guests.replication.role(ejected)
    assert (role.follows, role.writable) == (get(here, source).addresses[0].address, False)
    # Its machine was made anew, and began nothing by itself: it would have been a second source.
    assert "first.cnf" not in here.cloud.specs[ejected].files
    assert jobs(here, ejected)[-1] == "rejoin_replica"
    # It is a replica like any other.
    promote.start(here.doors, CALLER, ejected)
    here.run_until_quiet(unseen)
    assert get(here, source).replica_of == ejected


def test_what_must_be_built_anew_is_stopped_again_and_says_so(here: SteppedWorld, ejected: str, source: str) -> None:
    here.script.failing["rejoin_replica"] = ANEW
    volume = get(here, ejected).volume
    assert run(here, ejected, source).error == ANEW
    assert (shown(here, ejected), fault(here, ejected)) == ("SHUTDOWN", ANEW)
    assert here.cloud._servers[ejected].status is ServerStatus.SHUTDOWN
    assert get(here, ejected).replica_of is None
    assert get(here, ejected).volume == volume
    assert jobs(here, source)[-1] == "cleanup_source_on_replica_detach"
    # Its owner may have it built anew then.
    here.script.failing.clear()
    assert run(here, ejected, source, rebuild=True).error is None
    assert (shown(here, ejected), fault(here, ejected)) == ("ACTIVE", None)
    assert get(here, ejected).replica_of == source
    assert jobs(here, ejected)[-1] == "prepare_replica"
    assert ("delete_volume", ejected) in here.cloud.calls


def test_a_broken_replica_is_built_anew(here: SteppedWorld) -> None:
    replica = one_replica(here)
    source = str(get(here, replica).replica_of)
    assert run(here, replica, source, rebuild=True).error is None
    assert (shown(here, replica), get(here, replica).replica_of) == ("ACTIVE", source)


@pytest.mark.parametrize("rebuild", [False, True])
def test_nothing_is_done_to_it_when_the_source_does_not_answer(here: SteppedWorld, rebuild: bool) -> None:
    replica = one_replica(here)
    source = str(get(here, replica).replica_of)
    here.script.failing["enable_as_master"] = "Out of memory."
    calls = len(here.cloud.calls)
    assert run(here, replica, source, rebuild=rebuild).error == "Out of memory."
    assert (shown(here, replica), fault(here, replica)) == ("ACTIVE", "Out of memory.")
    assert get(here, replica).replica_of == source
    assert {verb for verb, _ in here.cloud.calls[calls:]} <= {"find_server"}


def test_a_build_that_fails_is_an_error_and_can_be_tried_again(here: SteppedWorld, ejected: str, source: str) -> None:
    here.script.failing["prepare_replica"] = "The disk is full."
    run(here, ejected, source, rebuild=True)
    assert (shown(here, ejected), fault(here, ejected)) == ("ERROR", "The disk is full.")
    assert get(here, ejected).replica_of == source
    here.script.failing.clear()
    assert run(here, ejected, source, rebuild=True).error is None
    assert shown(here, ejected) == "ACTIVE"


def test_a_replica_whose_server_is_rebuilt_takes_no_writes_meanwhile(here: SteppedWorld) -> None:
    replica = one_replica(here)
    source = str(get(here, replica).replica_of)
    rebuild.start(here.doors, ADMIN, replica, "host")
    here.run_until_quiet(unseen)
    assert (shown(here, replica), fault(here, replica), get(here, replica).replica_of) == ("ACTIVE", None, source)
    assert "first.cnf" not in here.cloud.specs[replica].files
    assert jobs(here, replica)[-1] == "rejoin_replica"
    assert not here.guests.replication.role(replica).writable
    assert not here.guests.replication.split


def test_the_source_stays_meanwhile(here: SteppedWorld, ejected: str, source: str) -> None:
    rejoin.start(here.doors, CALLER, ejected, source)
    with pytest.raises(Forbidden):
        delete.start(here.doors, CALLER, source)
    with pytest.raises(NotReady):
        rejoin.start(here.doors, CALLER, ejected, source)
    with pytest.raises(NotReady):
        restart.start(here.doors, CALLER, ejected)
    delete.start(here.doors, CALLER, ejected)
    here.run_until_quiet(unseen)
    with pytest.raises(NotFound):
        get(here, ejected)
    assert shown(here, source) == "ACTIVE"


def test_who_cannot_be_source_and_replica_is_refused(here: SteppedWorld) -> None:
    source = replicated_set(here)
    first, second = get(here, source).replicas
    other = idle_instance(here)
    refused = [
        (other, other, "itself"),
        (other, first, "is a replica"),
        (source, other, "has replicas itself"),
        (first, other, "detach it first"),
    ]
    for instance_id, wanted, why in refused:
        with pytest.raises(InvalidInput, match=why):
            rejoin.start(here.doors, CALLER, instance_id, wanted)
    with pytest.raises(NotFound):
        rejoin.start(here.doors, CALLER, other, new_id())
    with here.store.transaction() as tx:
        tx.connection.exec_driver_sql("update instances set volume_size = 1 where id = ?", (other,))
    with pytest.raises(InvalidInput, match="resize it first"):
        rejoin.start(here.doors, CALLER, other, source, rebuild=True)
    with here.store.transaction() as tx:
        (version,) = tx.connection.exec_driver_sql("select id from datastore_versions where name = '2.0'").scalars()
        tx.connection.exec_driver_sql(
            "update instances set volume_size = 2, datastore_version_id = ? where id = ?", (version, other)
        )
    with pytest.raises(InvalidInput, match="source runs everything"):
        rejoin.start(here.doors, CALLER, other, source)
    assert [shown(here, each) for each in (source, first, second, other)] == ["ACTIVE"] * 4


def test_what_is_built_anew_serves_tls_as_its_source_does(here: SteppedWorld, ejected: str, source: str) -> None:
    KINDS[change_tls.KIND].rehearse(here.doors, CALLER, source)
    here.run_until_quiet(unseen)
    assert run(here, ejected, source, rebuild=True).state is OperationState.SUCCEEDED
    with here.store.reading() as tx:
        kept = [tls.kept(tx, each).current for each in (ejected, source)]
    assert kept[0] == kept[1] is not None
    assert here.guests.tls[ejected] == here.guests.tls[source] is not None
