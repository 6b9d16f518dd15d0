"""Datastores: the rule by which a request finds its version, and upserts that may run twice."""

import pytest
from tests.support.rows import add_instance, add_version

from trove.core import errors
from trove.core.ids import new_id
from trove.store import datastores, instances
from trove.store.session import Database


def test_putting_twice_changes_in_place(database: Database) -> None:
    first = add_version(database, packages="a")
    second = add_version(database, packages="b", image_id="host", image_tags=("x", "y"), repl_strategy="gtid")
    assert second.id == first.id
    assert (second.packages, second.image_id, second.image_tags, second.repl_strategy) == ("b", "host", ("x", "y"), "gtid")
    assert (second.name, second.version, second.datastore_name) == ("10.11", "10.11", "mariadb")
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb", "10.11")
        datastore = datastores.put_datastore(tx, "mariadb")
        assert datastore.default_version_id == first.id
        assert datastores.get(tx, datastore.id) == datastores.get(tx, "mariadb") == datastore
        assert datastores.version_by_id(tx, first.id) == second
        with pytest.raises(errors.NotFound):
            datastores.put_version(tx, "absent", "1", manager="m")
        with pytest.raises(errors.NotFound):
            datastores.put_datastore(tx, "mariadb", "absent")


def test_the_list_hides_what_is_inactive(database: Database) -> None:
    active = add_version(database, "10.11")
    add_version(database, "10.5", active=False)
    with database.transaction() as tx:
        datastores.put_datastore(tx, "empty")
        datastores.put_datastore(tx, "old")
        datastores.put_version(tx, "old", "1", manager="old", active=False)
        (shown,) = datastores.all(tx)
        assert (shown.name, shown.versions) == ("mariadb", (active,))
        everything = datastores.all(tx, include_inactive=True)
    assert [(each.name, len(each.versions)) for each in everything] == [("empty", 0), ("mariadb", 2), ("old", 1)]


def test_a_request_finds_its_version(database: Database) -> None:
    version = add_version(database, "10.11")
    other = add_version(database, "11.4", version="11.4.2")
    with database.transaction() as tx:
        datastore = datastores.put_datastore(tx, "mariadb", "10.11")

        def find(**request: str | None) -> str:
            return datastores.resolve(tx, **request).id

        assert find(default_datastore="mariadb") == version.id
        assert find(default_datastore=datastore.id) == version.id
        assert find(type="mariadb") == version.id
        assert find(type=datastore.id, version="11.4") == other.id
        assert find(type="mariadb", version=other.id, number="ignored beside an id") == other.id
        assert find(type="mariadb", version="11.4", number="11.4.2") == other.id


def test_a_request_that_cannot_find_its_version_is_told_why(database: Database) -> None:
    add_version(database, "11.4", version="11.4.1")
    other = add_version(database, "11.4", version="11.4.2")
    add_version(database, "9", active=False)
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mysql")

        def refused(error: type[Exception], words: str, **request: str | None) -> None:
            with pytest.raises(error, match=words):
                datastores.resolve(tx, **request)

        refused(errors.InvalidInput, "no default datastore")
        refused(errors.InvalidInput, "default datastore absent", default_datastore="absent")
        refused(errors.NotFound, "absent", type="absent")
        refused(errors.InvalidInput, "no default version", type="mariadb")
        refused(errors.NotFound, "7", type="mariadb", version="7")
        refused(errors.InvalidInput, "11.4.1, 11.4.2", type="mariadb", version="11.4")
        refused(errors.NotFound, "11.4.9", type="mariadb", version="11.4", number="11.4.9")
        refused(errors.NotFound, other.id, type="mysql", version=other.id)
        refused(errors.InvalidInput, "not active", type="mariadb", version="9")
        assert datastores.resolve(tx, type="mariadb", version="9", allow_inactive=True).name == "9"
        with pytest.raises(errors.NotFound):
            datastores.version_by_id(tx, new_id())


def test_what_is_used_cannot_be_removed(database: Database) -> None:
    version = add_version(database)
    made = add_instance(database, version)
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb", "10.11")
        with pytest.raises(errors.InvalidInput):
            datastores.delete_datastore(tx, "mariadb")
        with pytest.raises(errors.InvalidInput):
            datastores.delete_version(tx, version.id)
        instances.mark_deleted(tx, made.id, fence=None)
        datastores.delete_version(tx, version.id)
        assert datastores.get(tx, "mariadb").default_version_id is None
        datastores.delete_datastore(tx, "mariadb")
        for removal in (lambda: datastores.delete_datastore(tx, "mariadb"), lambda: datastores.delete_version(tx, version.id)):
            with pytest.raises(errors.NotFound):
                removal()


def test_an_upgraded_version_gets_another_number_and_keeps_its_id(database: Database) -> None:
    version = add_version(database)
    made = add_instance(database, version)
    with database.transaction() as tx:
        for _ in range(2):
            datastores.renumber_version(tx, version.id, "10.11.19")
        assert instances.get(tx, made.id).datastore_version.version == "10.11.19"
        assert [each.id for each in datastores.get(tx, "mariadb").versions] == [version.id]
        datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.20")
        with pytest.raises(errors.Conflict):
            datastores.renumber_version(tx, version.id, "10.11.20")
        with pytest.raises(errors.NotFound):
            datastores.renumber_version(tx, new_id(), "1")


def test_names_are_told_apart_by_case(database: Database) -> None:
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        with pytest.raises(errors.NotFound):
            datastores.get(tx, "MariaDB")
