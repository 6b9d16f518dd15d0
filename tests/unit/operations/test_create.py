"""Creating instances: what is accepted, what is booked, what is built, and what a failure leaves."""

import base64
import configparser
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.world import CALLER, PASSWORD, PROJECT, World, request, until

from trove.bus.guest import GuestCaller
from trove.core import clock
from trove.core.accounts import Database, User
from trove.core.callers import Caller
from trove.core.errors import CloudError, InvalidInput, NotFound, QuotaExceeded, TroveError, Unavailable
from trove.core.json import JSON
from trove.core.operations import OperationState
from trove.core.quotas import Resource
from trove.core.status import ServerStatus, Task, shown_status
from trove.operations import guest_jobs
from trove.operations.instance import create, delete, reset_status
from trove.store import datastores, instances, operations, quotas

MEMBER = Caller(project_id="other", user_id="u2", request_id="req-2")
NOTHING = {"instances": 0, "ram": 0, "volumes": 0, "backups": 0}


def used(here: World) -> dict[str, int]:
    with here.database.reading() as tx:
        return {quota.resource.value: quota.in_use for quota in quotas.limits_of(tx, PROJECT, {})}


def reserved(here: World) -> dict[str, int]:
    with here.database.reading() as tx:
        return {quota.resource.value: quota.reserved for quota in quotas.limits_of(tx, PROJECT, {})}


def latest(here: World):
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def test_a_request_is_booked_whole(here: World):
    instance = create.start(here.doors, CALLER, request())
    assert (instance.task, instance.server_status) == (Task.BUILDING, ServerStatus.BUILD)
    assert instance.datastore_version.name == "10.11"
    assert reserved(here) == {"instances": 1, "ram": 512, "volumes": 2, "backups": 0}
    assert used(here) == NOTHING
    operation = latest(here)
    assert operation.reserved == {"instances": 1, "ram": 512, "volumes": 2}
    assert here.announcer.announced == [operation.id]
    assert (operation.kind, operation.state, operation.resource_id) == ("instance.create", OperationState.PENDING, instance.id)
    assert PASSWORD not in str(operation)
    with here.database.reading() as tx:
        assert len(instances.guest_key(tx, instance.id)) == 32


def test_an_accepted_instance_becomes_active_with_its_databases_and_users(here: World):
    instance = create.start(here.doors, CALLER, request())
    assert here.runner().run_now(latest(here).id)
    with here.database.reading() as tx:
        built = instances.get(tx, instance.id)
    operation = latest(here)
    assert (operation.state, operation.percent, operation.error) == (OperationState.SUCCEEDED, 100, None)
    assert shown_status(built.task, built.server_status) == "ACTIVE"
    assert built.guest.status == "healthy"
    assert built.port == 3306
    assert built.addresses
    assert built.fault is None
    assert used(here) == {"instances": 1, "ram": 512, "volumes": 2, "backups": 0}
    assert reserved(here) == NOTHING
    assert built.volume is not None
    assert built.volume.volume_id == f"volume-{instance.id}"
    ((_, kind, args),) = here.guests.jobs
    assert kind == "prepare"
    assert args["databases"] == [{"name": "shop", "character_set": None, "collate": None}]
    assert args["users"] == [{"name": "ann", "host": "%", "password": PASSWORD, "databases": ["shop"]}]
    assert "[mysqld]" in str(args["config"]) or "[mariadbd]" in str(args["config"])
    until(lambda: here.guests.forgotten == [operation.id], what="the guest was told to forget the job")


def test_the_guest_learns_who_it_is_from_two_files(here: World):
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    files = here.cloud.specs[instance.id].files
    info = configparser.RawConfigParser()
    info.read_string(files["guest_info.conf"].decode())
    with here.database.reading() as tx:
        key = instances.guest_key(tx, instance.id)
    assert dict(info["DEFAULT"]) == {
        "guest_id": instance.id,
        "datastore_manager": "mariadb",
        "datastore_version": "10.11.6",
        "tenant_id": PROJECT,
        "instance_rpc_encr_key": base64.b64encode(key).decode(),
    }
    agent = configparser.RawConfigParser()
    agent.read_string(files["trove-guestagent.conf"].decode())
    assert agent["DEFAULT"]["transport_url"].startswith(f"memory://{instance.id}:")
    assert agent["DEFAULT"]["report_interval"] == "30"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"flavor_ref": None}, InvalidInput, "flavorRef"),
        ({"flavor_ref": "none-such"}, InvalidInput, "none-such"),
        ({"volume_size_gib": None}, InvalidInput, "size"),
        ({"volume_size_gib": 0}, InvalidInput, "size"),
        ({"volume_size_gib": 11}, QuotaExceeded, "10 GiB"),
        ({"volume_type": "gold"}, InvalidInput, "gold"),
        ({"region": "Mars"}, InvalidInput, "Mars"),
        ({"datastore_type": "none-such"}, NotFound, "none-such"),
        ({"datastore_version": "1.0"}, NotFound, "1.0"),
        ({"databases": (Database(name="shop"), Database(name="mysql"))}, InvalidInput, "databases[1]"),
        ({"databases": (Database(name="shop"), Database(name="shop"))}, InvalidInput, "databases[1]"),
        ({"users": (User(name="root", password="abc12345"),)}, InvalidInput, "users[0]"),
        ({"users": (User(name="ann", password=None),)}, InvalidInput, "users[0]"),
        ({"users": (User(name="ann", password="abc12345", databases=("none",)),)}, InvalidInput, "none"),
        ({"users": (User(name="ann", password="abc12345"), User(name="ann", password="xyz"))}, InvalidInput, "ann@%"),
    ],
)
def test_what_cannot_work_is_refused_by_name_and_leaves_nothing(here: World, changes, error: type[TroveError], words: str):
    with pytest.raises(error) as caught:
        create.start(here.doors, CALLER, request(**changes))
    assert words in caught.value.message
    assert here.announcer.announced == []
    assert (used(here), reserved(here)) == (NOTHING, NOTHING)
    with here.database.reading() as tx:
        assert instances.count(tx) == 0


def test_a_link_names_a_flavor_too(here: World):
    assert create.start(here.doors, CALLER, request(flavor_ref="http://x/v1.0/p1/flavors/3")).flavor_id == "3"


def test_an_inactive_version_is_refused(here: World):
    with here.database.transaction() as tx:
        datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6", active=False)
    with pytest.raises(InvalidInput):
        create.start(here.doors, CALLER, request())


def test_a_quota_lets_through_exactly_what_fits(here: World):
    with here.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, Resource.INSTANCES, 3)
    results: list[str] = []

    def ask() -> None:
        try:
            create.start(here.doors, CALLER, request(volume_size_gib=1))
            results.append("accepted")
        except QuotaExceeded as error:
            results.append("refused" if "instances" in error.message else error.message)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["accepted"] * 3 + ["refused"] * 7
    assert reserved(here)["instances"] == 3


@pytest.mark.parametrize("verb", ["ensure_port", "ensure_volume", "ensure_server"])
def test_a_cloud_that_refuses_leaves_an_instance_in_error_and_nothing_else(here: World, verb: str):
    here.cloud.order_fault(verb, CloudError("No valid host was found."))
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    assert_failed(here, instance.id, "No valid host was found.")


def test_a_guest_that_fails_is_quoted_in_the_fault(here: World):
    here.script.failing["prepare"] = "The package mariadb-server is missing: apt-get install mariadb-server"
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    assert_failed(here, instance.id, "apt-get install mariadb-server")


def test_a_step_that_fails_for_a_while_is_tried_again(here: World):
    here.cloud.order_fault("ensure_volume", Unavailable("The cloud is busy."), times=2)
    create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    assert latest(here).state is OperationState.SUCCEEDED


def test_a_lost_cast_is_repeated(here: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guest_jobs, "RECAST_AFTER", timedelta(seconds=0.1))
    instance = create.start(here.doors, CALLER, request())
    here.bus.broker.drop_next(f"guestagent.{instance.id}")
    here.runner().run_now(latest(here).id)
    assert latest(here).state is OperationState.SUCCEEDED


def test_a_guest_whose_queue_the_broker_lost_is_admitted_again(here: World, monkeypatch: pytest.MonkeyPatch):
    real_start_job = GuestCaller.start_job
    lost: list[str] = []

    def start_job(self: GuestCaller, name: str, kind: str, args: Mapping[str, JSON]) -> None:
        if not lost:
            lost.extend(here.admission.admitted)
            here.admission.admitted.clear()
        if not here.admission.admitted:
            raise Unavailable("the message bus has no such queue")
        real_start_job(self, name, kind, args)

    monkeypatch.setattr(GuestCaller, "start_job", start_job)
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    assert latest(here).state is OperationState.SUCCEEDED
    assert lost == [instance.id] == list(here.admission.admitted)


def test_a_guest_that_stays_silent_fails_at_the_deadline_with_what_was_last_heard(here: World):
    late = timedelta(0)

    def let_time_pass(*_: object) -> None:
        nonlocal late
        late = timedelta(days=1)

    here.guests._do = let_time_pass  # type: ignore[method-assign]
    instance = create.start(here.doors, CALLER, request())
    with clock.told_by(lambda: datetime.now(UTC) + late):
        here.runner().run_now(latest(here).id)
    assert_failed(here, instance.id, "nothing from the guest agent")


def test_a_server_that_breaks_meanwhile_ends_the_wait(here: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guest_jobs, "SERVER_CHECK_AFTER", timedelta(0))
    here.script.silent.add("prepare")
    instance = create.start(here.doors, CALLER, request())
    thread = threading.Thread(target=here.runner().run_now, args=(latest(here).id,))
    thread.start()
    until(lambda: here.cloud.find_server(instance.id), what="the server")
    here.cloud.break_server(instance.id, "kernel panic")
    thread.join()
    assert_failed(here, instance.id, "kernel panic")


def test_a_bug_becomes_a_fault_without_its_text(here: World):
    here.cloud.order_fault("ensure_port", KeyError(PASSWORD))
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    assert_failed(here, instance.id, "operation")
    assert PASSWORD not in str(latest(here).error)


def test_a_failed_instance_can_be_deleted_and_gives_its_quota_back(here: World):
    here.script.failing["prepare"] = "no"
    instance = create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    delete.start(here.doors, CALLER, instance.id)
    here.runner().run_now(latest(here).id)
    assert (used(here), reserved(here)) == (NOTHING, NOTHING)
    with here.database.reading() as tx, pytest.raises(NotFound):
        instances.get(tx, instance.id)


def test_a_cancelled_build_is_undone(here: World):
    here.script.silent.add("prepare")
    instance = create.start(here.doors, CALLER, request())
    operation = latest(here)
    thread = threading.Thread(target=here.runner().run_now, args=(operation.id,))
    thread.start()
    until(lambda: here.cloud.find_server(instance.id), what="the server")
    with here.database.transaction() as tx:
        operations.request_cancel(tx, operation.id)
    thread.join()
    assert latest(here).state is OperationState.CANCELLED
    assert_failed(here, instance.id, "Cancelled", state=OperationState.CANCELLED)


def test_secrets_leave_the_operation_when_it_ends(here: World):
    create.start(here.doors, CALLER, request())
    here.runner().run_now(latest(here).id)
    with here.database.reading() as tx:
        connection = tx.connection.connection.driver_connection
        assert connection is not None
        assert connection.execute("select count(*) from operations where secrets is not null").fetchone() == (0,)
        assert PASSWORD not in "\n".join(connection.iterdump())
        assert connection.execute("select count(*) from workflow_items").fetchone() == (0,)


def test_a_build_whose_status_was_reset_ends_in_error_and_can_be_deleted(here: World):
    instance = create.start(here.doors, CALLER, request())
    reset_status.start(here.doors, CALLER, instance.id)
    here.runner().run_now(latest(here).id)
    assert_failed(here, instance.id, "Cancelled", state=OperationState.CANCELLED)
    delete.start(here.doors, CALLER, instance.id)
    here.runner().run_now(latest(here).id)
    assert used(here)["instances"] == 0


def test_a_reset_cancels_a_build_and_shows_that_it_did(here: World):
    instance = create.start(here.doors, CALLER, request())
    reset_status.start(here.doors, CALLER, instance.id)
    with here.database.reading() as tx:
        found = instances.get(tx, instance.id)
    assert (found.task, found.server_status, found.guest.status) == (Task.FAILED, ServerStatus.ERROR, "unknown")
    assert found.fault is not None
    assert "reset" in found.fault.message
    with pytest.raises(NotFound):
        reset_status.start(here.doors, MEMBER, instance.id)


def assert_failed(here: World, instance_id: str, words: str, state: OperationState = OperationState.FAILED) -> None:
    operation = latest(here)
    assert operation.state is state
    assert words in str(operation.error)
    with here.database.reading() as tx:
        instance = instances.get(tx, instance_id)
    assert shown_status(instance.task, instance.server_status) == "ERROR"
    assert instance.fault is not None
    assert words[:100] in instance.fault.message
    leftovers = here.cloud.leftovers()
    assert (leftovers.servers, leftovers.volumes, leftovers.ports) == ((), (), ())
    assert here.admission.admitted == set()
    assert (used(here)["instances"], reserved(here)["instances"]) == (1, 0)
