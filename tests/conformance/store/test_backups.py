"""Rows of backups on every database: found, paged, counted exactly under concurrency, and never lost track of."""

import threading

import pytest
from tests.conformance.store.test_quotas import at_once
from tests.support.rows import add_instance, add_operation, add_version

from trove.core import errors
from trove.core.backups import Backup, BackupState, BackupStrategy, BackupType, NewBackup
from trove.core.ids import new_id
from trove.core.operations import OperationState
from trove.core.quotas import Resource
from trove.store import backup_strategies, backups, operations, quotas
from trove.store.session import Database, Tx

ONE = {Resource.BACKUPS: 1}
DEFAULTS = {Resource.BACKUPS: 10}


def insert(tx: Tx, version_id: str, **values: object) -> Backup:
    common = {
        "id": new_id(),
        "name": "nightly",
        "project_id": "p",
        "datastore_version_id": version_id,
        "storage_driver": "swift",
        "container": "c",
        "instance_id": "i",
        "state": BackupState.COMPLETED,
    }
    return backups.insert(tx, NewBackup(**{**common, **values}))  # type: ignore[arg-type]


def used(database: Database) -> tuple[int, int]:
    with database.reading() as tx:
        (found,) = [each for each in quotas.limits_of(tx, "p", DEFAULTS) if each.resource is Resource.BACKUPS]
    return found.in_use, found.reserved


def test_a_backup_is_stored_found_and_hidden(database: Database) -> None:
    version = add_version(database)
    with database.transaction() as tx:
        made = insert(tx, version.id, description="d", size_bytes=1 << 40)
        assert backups.get(tx, made.id, project_id="p", hold=True) == made
        assert (made.datastore_version, made.type, made.deleting) == (version, BackupType.FULL, False)
        with pytest.raises(errors.NotFound):
            backups.get(tx, made.id, project_id="other")
        with pytest.raises(errors.NotFound):
            insert(tx, new_id())
    operation = add_operation(database)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, operation.id, owner="t")
        assert backups.mark_deleted(tx, made.id, fence=fence)
        assert not backups.mark_deleted(tx, made.id, fence=fence)
        assert not backups.exists(tx, made.id)
        assert backups.page(tx, project_id="p", limit=10).items == ()


def test_fifty_creations_at_once_against_a_quota_of_ten_give_ten(database: Database) -> None:
    version = add_version(database)

    def create() -> None:
        database.run(_accept, version.id)

    outcomes = at_once(50, create)
    assert outcomes.count("done") == 10
    assert set(outcomes) == {"done", "quota_exceeded"}
    with database.reading() as tx:
        assert len(backups.live_ids(tx)) == 10
    assert used(database) == (0, 10)


def _accept(tx: Tx, version_id: str) -> None:
    quotas.reserve(tx, "p", ONE, DEFAULTS)
    insert(tx, version_id, state=BackupState.NEW)


def test_pages_follow_each_other_whatever_comes_and_goes(database: Database) -> None:
    version = add_version(database)
    with database.transaction() as tx:
        made = [insert(tx, version.id, name=str(number)) for number in range(6)]
        insert(tx, version.id, project_id="other")
        first = backups.page(tx, project_id="p", limit=2)
        insert(tx, version.id, name="late")
        second = backups.page(tx, project_id="p", limit=2, marker=first.next_marker)
        rest = backups.page(tx, project_id="p", limit=2, marker=second.next_marker)
    assert [each.name for each in (*first.items, *second.items, *rest.items)] == ["5", "4", "3", "2", "1", "0"]
    assert rest.next_marker is None
    with database.reading() as tx:
        assert [each.name for each in backups.page(tx, project_id="p", limit=2, offset=1).items] == ["5", "4"]
        assert len(backups.page(tx, project_id=None, limit=20).items) == 8
        assert backups.page(tx, project_id="p", instance_id="i", datastore_id=version.datastore_id, limit=1).items
        assert backups.page(tx, project_id="p", datastore_id=new_id(), limit=1).items == ()
        with pytest.raises(errors.InvalidInput):
            backups.page(tx, project_id="other", limit=1, marker=made[0].id)


def test_what_builds_on_a_backup_comes_before_it(database: Database) -> None:
    version = add_version(database)
    with database.transaction() as tx:
        full = insert(tx, version.id, name="full")
        left = insert(tx, version.id, name="left", parent_id=full.id)
        insert(tx, version.id, name="right", parent_id=full.id)
        insert(tx, version.id, name="leaf", parent_id=left.id)
        order = [each.name for each in backups.with_descendants(tx, full.id)]
    assert order.index("leaf") < order.index("left") < order.index("full")
    assert sorted(order) == ["full", "leaf", "left", "right"]


def test_only_what_runs_is_recorded_and_the_newest_whole_one_is_found(database: Database) -> None:
    version = add_version(database)
    operation = add_operation(database)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, operation.id, owner="t")
        old = insert(tx, version.id)
        new = insert(tx, version.id, state=BackupState.NEW)
        assert backups.record(tx, new.id, fence=fence, state=BackupState.SAVING, size_bytes=7, checksum="c")
        found = backups.newest_completed(tx, "i")
        assert found is not None
        assert found.id == old.id
        assert backups.record(tx, new.id, fence=fence, state=BackupState.COMPLETED)
        assert not backups.record(tx, new.id, fence=fence, state=BackupState.FAILED, note="late")
        found = backups.newest_completed(tx, "i")
        assert found is not None
        assert (found.id, found.size_bytes, found.note) == (new.id, 7, None)
        running = insert(tx, version.id, state=BackupState.BUILDING)
        assert backups.fail_running(tx, "i", "reset") == 1
        assert (backups.get(tx, running.id).state, backups.get(tx, running.id).note) == (BackupState.FAILED, "reset")
        backups.mark_deleting(tx, [new.id])
        found = backups.newest_completed(tx, "i")
        assert found is not None
        assert found.id == old.id
        backups.deletion_failed(tx, [new.id], "away")
        assert (backups.get(tx, new.id).state, backups.get(tx, new.id).deleting) == (BackupState.DELETE_FAILED, False)


def test_a_recount_counts_backups_and_what_is_being_made(database: Database) -> None:
    version = add_version(database)
    instance = add_instance(database, version)
    with database.transaction() as tx:
        insert(tx, version.id)
        insert(tx, version.id, state=BackupState.FAILED)
        insert(tx, version.id, state=BackupState.NEW)
    running = add_operation(database, kind="backup.create", resource_id=instance.id, reserved={"backups": 1})
    with database.transaction() as tx:
        assert "p" in quotas.projects(tx, limit=9)
        quotas.recount(tx, "p")
        assert quotas.recount(tx, "p") == ()
    assert used(database) == (2, 1)
    with database.transaction() as tx:
        _, fence = operations.claim(tx, running.id, owner="t")
        operations.finish(tx, fence, OperationState.SUCCEEDED)
        quotas.recount(tx, "p")
    assert used(database) == (3, 0)


def test_strategies_are_replaced_and_the_nearest_one_counts(database: Database) -> None:
    with database.transaction() as tx:
        assert backup_strategies.container(tx, "p", "i") is None
        for container in ("old", "all"):
            backup_strategies.put(tx, BackupStrategy(project_id="p", container=container))
        assert backup_strategies.container(tx, "p", "i") == "all"
        backup_strategies.put(tx, BackupStrategy(project_id="p", instance_id="i", container="mine"))
        backup_strategies.put(tx, BackupStrategy(project_id="q", container="others"))
        assert backup_strategies.container(tx, "p", "i") == "mine"
        assert [each.container for each in backup_strategies.all(tx, project_id="p")] == ["all", "mine"]
        assert len(backup_strategies.all(tx, project_id=None)) == 3
        backup_strategies.remove(tx, "p", None)
        backup_strategies.remove(tx, "p", None)
        assert [each.instance_id for each in backup_strategies.all(tx, project_id="p")] == ["i"]


def test_a_deletion_and_a_new_child_do_not_pass_each_other(database: Database) -> None:
    version = add_version(database)
    with database.transaction() as tx:
        full = insert(tx, version.id)
    ready = threading.Barrier(2)

    def delete() -> None:
        ready.wait()
        with database.transaction() as tx:
            backups.mark_deleting(tx, [each.id for each in backups.with_descendants(tx, full.id)])

    thread = threading.Thread(target=delete)
    thread.start()
    ready.wait()
    with database.transaction() as tx:
        if not backups.get(tx, full.id, hold=True).deleting:
            insert(tx, version.id, parent_id=full.id)
    thread.join()
    with database.reading() as tx:
        assert all(backups.get(tx, each).deleting for each in backups.live_ids(tx))
