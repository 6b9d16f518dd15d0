"""Backups from the request to the object store and back: made, restored, cancelled, deleted, and what goes wrong between."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support import world as worlds
from tests.support.backups import DATA
from tests.support.engines import EVERYTHING
from tests.support.world import CALLER, PROJECT, World, request

from trove.core.backups import Backup, BackupState
from trove.core.clock import utcnow
from trove.core.errors import Conflict, InvalidInput, NotFound, NotReady, Unavailable
from trove.core.instances import Instance
from trove.core.manifests import manifest_name
from trove.core.operations import Operation, OperationState
from trove.core.quotas import Resource
from trove.core.status import Task, shown_status
from trove.core.tickets import Ticket
from trove.core.transitions import Event
from trove.datastores import registry
from trove.operations.backup import adopt, create, delete
from trove.operations.doors import BackupSettings
from trove.operations.instance import create as create_instance
from trove.operations.instance import delete as delete_instance
from trove.operations.operation import cancel
from trove.store import backup_keys, backups, instances, operations, quotas

CONTAINER = "database_backups"


@pytest.fixture
def orders(here: World) -> str:
    """An idle instance of an engine that can be backed up."""
    instance_id = create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
    run(here)
    return instance_id


def run(here: World) -> Operation:
    """Run the newest operation to its end."""
    operation_id = newest(here).id
    assert here.runner().run_now(operation_id)
    return newest(here)


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def back_up(here: World, instance_id: str, **more: object) -> Backup:
    wanted = create.CreateBackup(**{"name": "nightly", "instance_id": instance_id, **more})  # type: ignore[arg-type]
    return create.start(here.doors, CALLER, wanted)


def made(here: World, instance_id: str, **more: object) -> Backup:
    backup = back_up(here, instance_id, **more)
    assert run(here).state is OperationState.SUCCEEDED
    return row(here, backup.id)


def row(here: World, backup_id: str) -> Backup:
    with here.database.reading() as tx:
        return backups.get(tx, backup_id)


def instance(here: World, instance_id: str) -> Instance:
    with here.database.reading() as tx:
        return instances.get(tx, instance_id)


def used(here: World) -> tuple[int, int]:
    with here.database.reading() as tx:
        return next(
            (each.in_use, each.reserved) for each in quotas.limits_of(tx, PROJECT, {}) if each.resource is Resource.BACKUPS
        )


def held(here: World) -> list[str]:
    return [info.name for info in here.objects.list(CONTAINER)]


def test_a_backup_is_made_and_the_instance_is_as_before(here: World, orders: str) -> None:
    backup = made(here, orders)
    assert (backup.state, backup.size_bytes, used(here)) == (BackupState.COMPLETED, len(DATA), (1, 0))
    assert held(here) == [f"{backup.id}/00000000", f"{backup.id}/00000001", manifest_name(backup.id)]
    assert backup.checksum == here.objects.info(CONTAINER, manifest_name(backup.id)).digest
    assert instance(here, orders).task is Task.NONE
    assert instance(here, orders).fault is None


def test_a_restart_that_is_due_stays_due(here: World, orders: str) -> None:
    with here.database.transaction() as tx:
        instances.apply(tx, orders, Event.RESTART_OWED)
    back_up(here, orders)
    assert shown_status(instance(here, orders).task, instance(here, orders).server_status) == "BACKUP"
    run(here)
    assert instance(here, orders).task is Task.RESTART_REQUIRED


def test_the_ticket_is_for_this_backup_alone_and_is_in_no_row(here: World, orders: str) -> None:
    backup = made(here, orders)
    (given,) = [args for _, kind, args in here.guests.jobs if kind == "backup"]
    ticket = Ticket.from_json(given["ticket"])  # type: ignore[arg-type]
    assert (ticket.prefix, ticket.verb) == (f"{backup.id}/", "PUT")
    assert ticket.expires > utcnow() + timedelta(hours=9)
    with here.database.reading() as tx:
        for table in ("operations", "backups", "guest_jobs", "workflow_items"):
            rows = tx.connection.exec_driver_sql(f"select * from {table}").all()
            assert ticket.query not in str(rows)


@pytest.fixture
def encrypting(tmp_path) -> Iterator[World]:
    settings = worlds.Settings(default_datastore="mariadb", backups=BackupSettings(encrypted=True))
    (tmp_path / "encrypting").mkdir()
    with worlds.world(tmp_path / "encrypting", settings=settings) as here:
        yield here


def test_guests_get_the_keys_of_their_backups_and_nothing_else_does(encrypting: World) -> None:
    here = encrypting
    instance_id = create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
    run(here)
    full = made(here, instance_id)
    with here.database.transaction() as tx:
        backup_keys.rotate(tx, PROJECT)
    leaf = made(here, instance_id, incremental=True)
    create_instance.start(here.doors, CALLER, request(datastore_type=None, backup_ref=leaf.id))
    assert run(here).state is OperationState.SUCCEEDED
    given = [args["encryption"] for _, kind, args in here.guests.jobs if kind == "backup"]
    (restored,) = [args["restore"]["chain"] for _, kind, args in here.guests.jobs if kind == "prepare" and args.get("restore")]
    keys = [each["data_key"] for each in given]
    assert [link["data_key"] for link in restored] == keys
    assert len(set(keys)) == 2
    assert given[0]["key_id"] != given[1]["key_id"]
    manifests = [here.objects.get(CONTAINER, manifest_name(each.id)) for each in (full, leaf)]
    with here.database.reading() as tx:
        tables = ("operations", "backups", "guest_jobs", "workflow_items", "backup_keys")
        rows = [tx.connection.exec_driver_sql(f"select * from {table}").all() for table in tables]
    seen = str(rows) + "".join(str(b"".join(each)) for each in manifests)
    assert not any(key in seen or str(b64decode(key))[2:-1] in seen for key in keys)
    project_key = here.database.vault.open(rows[-1][0][3])
    assert b64encode(project_key).decode() not in str([args for _, _, args in here.guests.jobs])


def test_a_backup_whose_key_is_gone_is_refused(encrypting: World) -> None:
    here = encrypting
    instance_id = create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
    run(here)
    backup = made(here, instance_id)
    with here.database.transaction() as tx:
        version_id = instances.get(tx, instance_id).datastore_version.id
        tx.connection.exec_driver_sql("delete from backup_keys")
    wanted = adopt.AdoptBackup(name="a", location=str(backup.location), datastore_version_id=version_id, size_gib=0.1)
    with pytest.raises(InvalidInput, match="not known here"):
        adopt.start(here.doors, CALLER, wanted)
    create_instance.start(here.doors, CALLER, request(datastore_type=None, backup_ref=backup.id))
    assert "not known here" in str(run(here).error)


def test_names_are_enough_for_a_volume_that_does_not_compress() -> None:
    names = create._names("b", 10, 8 * 1024**2)
    assert names[:2] == ["b/manifest.json", "b/00000000"]
    assert (len(names) - 1) * 8 * 1024**2 > 12 * 1024**3
    assert len(create._names("b", 100_000, 8 * 1024**2)) == create.MOST_NAMES + 1
    assert len(set(names)) == len(names)


def test_an_engine_with_full_backups_only_makes_no_others(here: World, orders: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = made(here, orders)
    real = registry.spec
    monkeypatch.setattr(registry, "spec", lambda manager: replace(real(manager), incremental_backups=False))
    for more in ({"incremental": True}, {"parent_id": parent.id}):
        with pytest.raises(InvalidInput, match="full backups only"):
            back_up(here, orders, **more)


def test_a_chain_is_restored_from_its_beginning_into_a_new_instance(here: World, orders: str) -> None:
    full = made(here, orders)
    leaf = made(here, orders, incremental=True)
    assert leaf.parent_id == full.id
    new = create_instance.start(here.doors, CALLER, request(datastore_type=None, backup_ref=leaf.id))
    assert run(here).state is OperationState.SUCCEEDED
    assert here.guests.restored == {new.id: [DATA, DATA]}
    assert new.datastore_version.datastore_name == EVERYTHING


def test_a_guest_that_fails_leaves_no_object(here: World, orders: str) -> None:
    here.script.failing["backup"] = "The disk is full."
    backup = back_up(here, orders)
    assert run(here).error == "The disk is full."
    assert (row(here, backup.id).state, row(here, backup.id).note) == (BackupState.FAILED, "The disk is full.")
    assert (held(here), used(here)) == ([], (1, 0))
    assert instance(here, orders).task is Task.NONE
    with here.database.reading() as tx:
        assert backups.newest_completed(tx, orders) is None


@pytest.mark.parametrize("lost", ["manifest.json", "00000001"])
def test_a_guest_is_not_believed_what_the_store_does_not_show(here: World, orders: str, lost: str) -> None:
    backup = back_up(here, orders)

    def lose(task: str, moment: str) -> None:
        if (task, moment) == ("check_objects", "before do"):
            here.objects.delete(CONTAINER, f"{backup.id}/{lost}")

    here.runner(probe=lose).run_now(newest(here).id)
    assert row(here, backup.id).state is BackupState.FAILED
    assert "not whole" in str(newest(here).error)
    assert held(here) == []


def test_a_cancelled_backup_is_undone(here: World, orders: str) -> None:
    backup = back_up(here, orders)
    operation_id = newest(here).id

    def stop(task: str, moment: str) -> None:
        if (task, moment) == ("check_objects", "before do"):
            cancel.start(here.doors, CALLER, operation_id)

    here.runner(probe=stop).run_now(operation_id)
    assert newest(here).state is OperationState.CANCELLED
    assert (row(here, backup.id).state, held(here)) == (BackupState.FAILED, [])
    assert (orders, operation_id) in here.guests.cancelled


def test_deleting_the_instance_ends_its_backup_and_keeps_the_old_ones(here: World, orders: str) -> None:
    old = made(here, orders)
    new = back_up(here, orders)
    delete_instance.start(here.doors, CALLER, orders)
    run(here)
    assert (row(here, old.id).state, row(here, new.id).state) == (BackupState.COMPLETED, BackupState.FAILED)
    assert used(here) == (2, 0)
    with pytest.raises(NotFound):
        instance(here, orders)


def test_a_tree_is_deleted_with_its_objects_and_its_quota(here: World, orders: str) -> None:
    full, other = made(here, orders), made(here, orders)
    leaf = made(here, orders, parent_id=full.id)
    delete.start(here.doors, CALLER, full.id)
    with pytest.raises(NotReady):
        delete.start(here.doors, CALLER, full.id)
    with pytest.raises(Conflict):
        create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING, backup_ref=leaf.id))
    assert run(here).state is OperationState.SUCCEEDED
    assert {name.partition("/")[0] for name in held(here)} == {other.id}
    assert used(here) == (1, 0)


def test_what_the_store_does_not_delete_is_never_lost_sight_of(tmp_path) -> None:
    class Stubborn:
        """An object store that deletes nothing."""

        def __init__(self, store: object) -> None:
            self._store = store

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        def of(self, _project_id: str) -> object:
            return self

        def delete(self, container: str, name: str) -> None:
            raise Unavailable("The object store is away.")

    (tmp_path / "stubborn").mkdir()
    with worlds.world(tmp_path / "stubborn") as here:
        instance_id = create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
        run(here)
        backup = made(here, instance_id)
        hasty = replace(here.doors, settings=replace(here.doors.settings, delete_timeout_s=0.5))
        delete.start(hasty, CALLER, backup.id)
        stubborn = replace(hasty, objects=Stubborn(here.objects))  # type: ignore[arg-type]
        here.runner(doors=stubborn).run_now(newest(here).id)
        assert newest(here).state is OperationState.FAILED
        left = row(here, backup.id)
        assert (left.state, left.deleting, used(here)) == (BackupState.DELETE_FAILED, False, (1, 0))
        assert "away" in str(left.note)
        delete.start(here.doors, CALLER, backup.id)
        run(here)
        assert (held(here), used(here)) == ([], (0, 0))


def test_a_backup_of_which_nothing_is_heard_fails_soon(tmp_path) -> None:
    settings = worlds.Settings(default_datastore="mariadb", backups=BackupSettings(stall_timeout_s=0.3))
    (tmp_path / "stalled").mkdir()
    with worlds.world(tmp_path / "stalled", settings=settings) as here:
        instance_id = create_instance.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
        run(here)
        here.script.silent.add("backup")
        backup = back_up(here, instance_id)
        ended = run(here)
        assert "no progress" in str(ended.error)
        assert row(here, backup.id).state is BackupState.FAILED
        assert (instance_id, ended.id) in here.guests.cancelled
        assert instance(here, instance_id).task is Task.NONE


def test_one_that_hangs_for_days_is_cancelled_before_it_is_deleted(here: World, orders: str) -> None:
    here.script.silent.add("backup")
    backup = back_up(here, orders)
    making = newest(here).id
    with here.database.transaction() as tx:
        old = utcnow() - timedelta(days=4)
        tx.connection.exec_driver_sql(f"update backups set updated = '{old:%Y-%m-%d %H:%M:%S}.000000'")
    delete.start(here.doors, CALLER, backup.id)
    deletion = newest(here).id
    here.runner().run_now(making)
    here.runner().run_now(deletion)
    with here.database.reading() as tx:
        assert operations.get(tx, making).state is OperationState.CANCELLED
        assert operations.get(tx, deletion).state is OperationState.SUCCEEDED
    assert (used(here), held(here)) == ((0, 0), [])


@pytest.fixture(autouse=True)
def _quota_equals_rows(here: World) -> Iterator[None]:
    yield
    with here.database.transaction() as tx:
        assert quotas.recount(tx, PROJECT) == ()
