"""What administrators look through: instances of all projects, deleted ones too; offers of versions; versions in use."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.support.rows import add_instance, add_version

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.status import Task, shown_status
from trove.core.transitions import Event
from trove.store import datastores, instances, management, offers, roots, tables
from trove.store.offers import Offer
from trove.store.session import Database


def seen(database: Database, limit: int = 2, **filters: object) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    marker = None
    with database.reading() as tx:
        while True:
            page = management.page(tx, limit=limit, marker=marker, **filters)  # type: ignore[arg-type]
            assert len(page.items) <= limit
            found += [each.id for each in page.items]
            marker = page.next_marker
            if marker is None:
                return found


def delete(database: Database, instance_id: str) -> None:
    with database.transaction() as tx:
        instances.apply(tx, instance_id, Event.DELETE_ACCEPTED)
        instances.mark_deleted(tx, instance_id, fence=None)


def test_every_instance_is_seen_once_newest_first_and_by_filters(database: Database) -> None:
    version = add_version(database)
    ids = [add_instance(database, version, project_id=project).id for project in ("p", "q", "p", "q", "p")]
    delete(database, ids[0])
    delete(database, ids[3])
    assert seen(database) == ids[::-1]
    assert seen(database, deleted=True) == [ids[3], ids[0]]
    assert seen(database, deleted=False, limit=1) == [ids[4], ids[2], ids[1]]
    assert seen(database, deleted=False, project_id="q") == [ids[1]]
    assert seen(database, project_id="ghost") == []
    with database.transaction() as tx:
        tx.execute(sa.update(tables.instances).where(tables.instances.c.id == ids[1]).values(cluster_id=new_id()))
    assert ids[1] not in seen(database)
    assert seen(database, include_clustered=True) == ids[::-1]


def test_pages_go_on_behind_the_same_moment_a_deleted_marker_and_a_number(database: Database) -> None:
    version = add_version(database)
    ids = [add_instance(database, version).id for _ in range(4)]
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    with database.transaction() as tx:
        tx.execute(sa.update(tables.instances).values(created=moment))
    assert seen(database, limit=1) == sorted(ids, reverse=True)
    delete(database, sorted(ids)[2])
    with database.reading() as tx:
        rest = management.page(tx, limit=9, marker=sorted(ids)[2])
        assert [each.id for each in rest.items] == sorted(ids)[1::-1]
        assert [each.id for each in management.page(tx, limit=9, marker="3").items] == [min(ids)]
        for wrong in (new_id(), "x", "-1"):
            with pytest.raises(errors.InvalidInput, match="marker"):
                management.page(tx, limit=9, marker=wrong)


def test_a_deleted_instance_can_still_be_shown(database: Database) -> None:
    instance = add_instance(database, add_version(database))
    before = utcnow()
    with database.reading() as tx:
        assert management.get(tx, instance.id) == instance
        with pytest.raises(errors.NotFound):
            management.get(tx, instance.id, deleted=True)
    delete(database, instance.id)
    with database.reading() as tx:
        for deleted in (None, True):
            found = management.get(tx, instance.id, deleted=deleted)
            assert (found.name, found.task, found.project_id) == (instance.name, Task.DELETED, "p")
            assert shown_status(found.task, found.server_status) == "SHUTDOWN"
            assert found.deleted_at is not None
            assert before - timedelta(seconds=1) <= found.deleted_at <= utcnow()
        for missing, deleted in ((instance.id, False), (new_id(), None)):
            with pytest.raises(errors.NotFound):
                management.get(tx, missing, deleted=deleted)


def test_accounts_are_projects_with_live_instances(database: Database) -> None:
    version = add_version(database)
    ids = [add_instance(database, version, project_id=project).id for project in ("q", "p", "q", "gone")]
    delete(database, ids[3])
    with database.reading() as tx:
        assert management.accounts(tx) == {"p": 1, "q": 2}
        assert management.instance_ids(tx, "q") == tuple(sorted((ids[0], ids[2])))
        assert management.instance_ids(tx, "gone") == ()


def test_who_enabled_root_last_stays_known(database: Database) -> None:
    one = new_id()
    with database.transaction() as tx:
        assert roots.last(tx, one) is None
        roots.record_enabled(tx, one, "ann")
        roots.record_disabled(tx, one)
        found = roots.last(tx, one)
    assert found is not None
    assert found[0] == "ann"
    assert abs(found[1] - utcnow()) < timedelta(minutes=1)


def test_a_version_may_use_what_is_bound_to_it(database: Database) -> None:
    version, other = add_version(database), add_version(database, "11")
    with database.transaction() as tx:
        assert offers.of_version(tx, version.id) == {}
        for _ in range(2):
            offers.bind(tx, version.id, Offer.FLAVOR, ["1", "7", "1"])
        offers.bind(tx, version.id, Offer.VOLUME_TYPE, ["ssd"])
        offers.bind(tx, other.id, Offer.FLAVOR, ["1"])
        assert offers.of_version(tx, version.id) == {Offer.FLAVOR: {"1", "7"}, Offer.VOLUME_TYPE: {"ssd"}}
        offers.unbind(tx, version.id, Offer.FLAVOR, "7")
        offers.unbind(tx, version.id, Offer.VOLUME_TYPE, "ssd")
        assert offers.of_version(tx, version.id) == {Offer.FLAVOR: {"1"}}
        assert offers.of_version(tx, other.id) == {Offer.FLAVOR: {"1"}}
        with pytest.raises(errors.NotFound, match="Flavor 7"):
            offers.unbind(tx, version.id, Offer.FLAVOR, "7")
        with pytest.raises(errors.NotFound):
            offers.bind(tx, new_id(), Offer.FLAVOR, ["1"])
        datastores.delete_version(tx, version.id)
        assert offers.of_version(tx, version.id) == {}


def test_a_new_version_brings_its_datastore_and_is_the_only_one_of_its_name_and_number(database: Database) -> None:
    with database.transaction() as tx:
        first = datastores.add_version(tx, "redis", "7", None, manager="mariadb", image_id="host", packages="a,b")
        assert (first.name, first.version, first.datastore_name, first.packages) == ("7", "7", "redis", "a,b")
        assert datastores.add_version(tx, "redis", "7", "7.2", manager="mariadb").id != first.id
        with pytest.raises(errors.InvalidInput, match="version 7 with number 7 already"):
            datastores.add_version(tx, "redis", "7", "7", manager="mariadb")
        second = datastores.add_version(tx, "redis", "8", "7", manager="mariadb")
        with pytest.raises(errors.InvalidInput, match="already"):
            datastores.change_version(tx, second.id, {"name": "7"})
        for _ in range(2):
            datastores.change_version(tx, second.id, {"name": "9", "image_tags": ("x", "y"), "image_id": None, "active": False})
        changed = datastores.version_by_id(tx, second.id)
        assert (changed.name, changed.image_tags, changed.image_id, changed.active) == ("9", ("x", "y"), None, False)
        datastores.change_version(tx, second.id, {})
        datastores.set_default(tx, changed, default=True)
        assert datastores.get(tx, "redis").default_version_id == second.id
        datastores.set_default(tx, first, default=False)
        assert datastores.get(tx, "redis").default_version_id == second.id
        datastores.set_default(tx, changed, default=False)
        assert datastores.get(tx, "redis").default_version_id is None
        with pytest.raises(errors.NotFound):
            datastores.change_version(tx, new_id(), {"active": True})


def test_of_those_who_add_the_same_version_at_once_one_does_and_the_others_are_told(database: Database) -> None:
    outcomes: list[str] = []
    gate = threading.Barrier(4)

    def add() -> None:
        gate.wait()
        try:
            database.run(datastores.add_version, "fresh", "1", None, manager="mariadb")
            outcomes.append("added")
        except errors.InvalidInput as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", *["invalid_input"] * 3]
    with database.reading() as tx:
        assert len(datastores.get(tx, "fresh").versions) == 1


def backup(version_id: str, **values: object) -> sa.Insert:
    row = {"id": new_id(), "created": utcnow(), "updated": utcnow(), "name": "b", "tenant_id": "p", "state": "COMPLETED"}
    more = {"backup_type": "full", "storage_driver": "file", "datastore_version_id": version_id, "deleting": False}
    return sa.insert(tables.backups).values(**{**row, **more, "deleted": False, **values})


def configuration(version_id: str, **values: object) -> sa.Insert:
    row = {"id": new_id(), "created": utcnow(), "updated": utcnow(), "name": "c", "tenant_id": "p", "deleted": False}
    return sa.insert(tables.configurations).values(**{**row, "datastore_version_id": version_id, **values})


def cluster(version_id: str, **values: object) -> sa.Insert:
    row = {"id": new_id(), "created": utcnow(), "updated": utcnow(), "name": "c", "tenant_id": "p", "deleted": False}
    return sa.insert(tables.clusters).values(**{**row, "task": "NONE", "datastore_version_id": version_id, **values})


@pytest.mark.parametrize(
    ("row", "named"), [(backup, "backups"), (configuration, "configuration groups"), (cluster, "clusters")]
)
def test_a_version_in_use_is_not_removed(database: Database, row: Callable[..., sa.Insert], named: str) -> None:
    version = add_version(database)
    with database.transaction() as tx:
        tx.execute(row(version.id, id="x"))
        with pytest.raises(errors.InvalidInput, match=named):
            datastores.delete_version(tx, version.id)
        table = {"backups": tables.backups, "clusters": tables.clusters}.get(named, tables.configurations)
        tx.execute(sa.update(table).values(deleted=True))
        datastores.delete_version(tx, version.id)
        assert tx.execute(sa.select(table.c.datastore_version_id).where(table.c.id == "x")).scalar_one() is None
