"""Modules and who has them: what was stored comes back, sealed contents open, and no race makes two alike."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.core.instances import NewInstance
from trove.core.modules import NewModule, digest
from trove.core.transitions import Event
from trove.store import datastores, instance_modules, instances, modules
from trove.store.session import Database, Tx

PROJECT, OTHER = "p1", "p2"
CONTENTS = b"message=\x00\xff secret"
PLAIN = NewModule(
    name="greeting",
    type="ping",
    description="é😀",
    project_id=PROJECT,
    datastore_id=None,
    version_id=None,
    auto_apply=False,
    visible=True,
    live_update=True,
    priority_apply=False,
    apply_order=5,
    is_admin=False,
)


@pytest.fixture
def version_id(database: Database) -> str:
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        return datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6").id


def stored(database: Database, **changes: object) -> str:
    return database.run(lambda tx: modules.insert(tx, replace(PLAIN, **changes), CONTENTS).id)  # type: ignore[arg-type]


def instance(tx: Tx, version_id: str, *, project_id: str = PROJECT, built: bool = True) -> str:
    new = NewInstance(
        id=new_id(),
        name="orders",
        project_id=project_id,
        flavor_id="2",
        ram_mib=512,
        datastore_version_id=version_id,
        key=b"k" * 32,
    )
    made = instances.insert(tx, new).id
    if built:
        instances.apply(tx, made, Event.BUILT)
    return made


def test_a_module_comes_back_with_its_names_and_its_contents(database: Database, version_id: str) -> None:
    with database.reading() as tx:
        version = datastores.version_by_id(tx, version_id)
    module_id = stored(database, datastore_id=version.datastore_id, version_id=version_id)
    with database.reading() as tx:
        found = modules.get(tx, module_id, project_id=PROJECT)
        assert modules.contents(tx, module_id) == CONTENTS
    assert (found.name, found.description, found.md5) == ("greeting", "é😀", digest(CONTENTS))
    assert (found.datastore_name, found.version_name) == ("mariadb", "10.11")
    assert (found.visible, found.auto_apply, found.live_update, found.apply_order) == (True, False, True, 5)
    assert found.created == found.updated


def test_contents_are_sealed_in_the_row(database: Database) -> None:
    stored(database)
    with database.reading() as tx:
        (raw,) = tx.connection.exec_driver_sql("select contents from modules").scalars()
    assert b"secret" not in bytes(raw)


def test_who_sees_what(database: Database) -> None:
    mine, shared = stored(database), stored(database, project_id=None)
    stored(database, visible=False, name="hidden")
    theirs = stored(database, project_id=OTHER)

    def seen(project_id: str | None) -> set[str]:
        with database.reading() as tx:
            return {each.id for each in modules.page(tx, project_id=project_id, limit=9).items}

    assert seen(PROJECT) == {mine, shared}
    assert seen(OTHER) == {theirs, shared}
    assert len(seen(None)) == 4
    with database.reading() as tx, pytest.raises(NotFound):
        modules.get(tx, theirs, project_id=PROJECT)


def test_all_are_met_once_page_by_page(database: Database) -> None:
    ids = sorted(stored(database, name=f"m{number}") for number in range(5))
    found: list[str] = []
    marker = None
    with database.reading() as tx:
        while True:
            page = modules.page(tx, project_id=PROJECT, limit=2, marker=marker)
            found += [each.id for each in page.items]
            marker = page.next_marker
            if marker is None:
                break
    assert found == ids


def test_two_alike_are_refused_also_with_nothing_said_of_the_datastore(database: Database, version_id: str) -> None:
    first = stored(database)
    with pytest.raises(InvalidInput, match=first):
        stored(database)
    shared = stored(database, project_id=None)
    with pytest.raises(InvalidInput, match=shared):
        stored(database, project_id=None)
    stored(database, type="new_relic_license")
    stored(database, version_id=version_id)
    with pytest.raises(InvalidInput, match="name"):
        database.run(modules.change, shared, PLAIN, None)
    with database.transaction() as tx:
        modules.mark_deleted(tx, first)
    stored(database)


def test_of_two_that_come_at_once_one_is_refused(database: Database, version_id: str) -> None:
    assert version_id
    outcomes: list[str] = []
    together = threading.Barrier(4)

    def make() -> None:
        together.wait()
        try:
            outcomes.append(stored(database))
        except InvalidInput:
            outcomes.append("refused")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each == "refused" for each in outcomes) == [False, True, True, True]


def test_a_change_replaces_what_it_is_and_the_contents_only_if_given(database: Database) -> None:
    module_id = stored(database)
    changed = database.run(modules.change, module_id, replace(PLAIN, name="new", description=None), None)
    assert (changed.name, changed.description, changed.md5) == ("new", None, digest(CONTENTS))
    assert database.run(modules.change, module_id, PLAIN, b"x").md5 == digest(b"x")
    with database.reading() as tx:
        assert modules.contents(tx, module_id) == b"x"


def test_a_deleted_module_is_gone_with_its_contents(database: Database) -> None:
    module_id = stored(database)
    with database.transaction() as tx:
        modules.mark_deleted(tx, module_id)
    with database.reading() as tx:
        for read in (modules.get, modules.contents):
            with pytest.raises(NotFound):
                read(tx, module_id)
        assert not any(tx.connection.exec_driver_sql("select contents from modules").scalars())


def test_which_modules_every_new_instance_gets(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        version = datastores.version_by_id(tx, version_id)
        datastores.put_datastore(tx, "other")
        other = datastores.put_version(tx, "other", "1", manager="mariadb")
    wanted = {
        stored(database, auto_apply=True),
        stored(database, auto_apply=True, project_id=None, visible=False),
        stored(database, auto_apply=True, name="d", datastore_id=version.datastore_id),
        stored(database, auto_apply=True, name="v", datastore_id=version.datastore_id, version_id=version_id),
    }
    stored(database, name="by hand")
    stored(database, auto_apply=True, project_id=OTHER)
    stored(database, auto_apply=True, name="o", datastore_id=other.datastore_id)
    stored(database, auto_apply=True, name="w", version_id=other.id)
    with database.reading() as tx:
        assert {each.id for each in modules.automatic(tx, project_id=PROJECT, version=version)} == wanted


def test_what_an_instance_has(database: Database, version_id: str) -> None:
    module_id, hidden = stored(database, apply_order=1), stored(database, name="h", visible=False)
    with database.transaction() as tx:
        instance_id = instance(tx, version_id)
        instance_modules.intend(tx, instance_id, [module_id, hidden])
        instance_modules.intend(tx, instance_id, [module_id])
        instance_modules.intend(tx, instance_id, [])
    with database.reading() as tx:
        (before,) = instance_modules.of_instance(tx, instance_id, project_id=PROJECT)
        assert len(instance_modules.of_instance(tx, instance_id, project_id=None)) == 2
    assert (before.module.id, before.md5) == (module_id, None)
    with database.transaction() as tx:
        instance_modules.confirm(tx, instance_id, module_id, "a" * 32)
        instance_modules.intend(tx, instance_id, [module_id])
    with database.reading() as tx:
        after = instance_modules.one(tx, instance_id, module_id, project_id=PROJECT)
    assert (after.md5, after.created) == ("a" * 32, before.created)
    assert after.updated > before.updated
    with database.transaction() as tx:
        instance_modules.forget(tx, instance_id, module_id, seen=before.updated)
        instance_modules.one(tx, instance_id, module_id, project_id=PROJECT)  # It was applied again meanwhile.
        instance_modules.forget(tx, instance_id, module_id, seen=after.updated)
        with pytest.raises(NotFound):
            instance_modules.one(tx, instance_id, module_id, project_id=PROJECT)


def test_instances_are_listed_and_counted(database: Database, version_id: str) -> None:
    module_id = stored(database, project_id=None)
    with database.transaction() as tx:
        mine = sorted(instance(tx, version_id) for _ in range(3))
        theirs = instance(tx, version_id, project_id=OTHER)
        gone = instance(tx, version_id)
        for each in (*mine, theirs, gone):
            instance_modules.intend(tx, each, [module_id])
        for each in mine[:2]:
            instance_modules.confirm(tx, each, module_id, digest(CONTENTS))
        instances.apply(tx, gone, Event.DELETE_ACCEPTED)
        instances.mark_deleted(tx, gone, fence=None)
    with database.reading() as tx:
        wanted = {"project_id": PROJECT, "include_clustered": False}
        page = instance_modules.instances_with(tx, module_id, limit=2, **wanted)  # type: ignore[arg-type]
        assert [each.id for each in page.items] == mine[:2]
        rest = instance_modules.instances_with(tx, module_id, limit=2, marker=page.next_marker, **wanted)  # type: ignore[arg-type]
        assert ([each.id for each in rest.items], rest.next_marker) == (mine[2:], None)
        tallies = instance_modules.tallies(tx, module_id, **wanted)  # type: ignore[arg-type]
        assert {each.md5: each.instances for each in tallies} == {None: 1, digest(CONTENTS): 2}
        assert all(each.first_updated <= each.last_updated for each in tallies)
        assert modules.count_instances(tx, [module_id]) == {module_id: 4}


def test_what_is_due_for_another_application(database: Database, version_id: str) -> None:
    module_id = stored(database, project_id=None)
    with database.transaction() as tx:
        current, old, unconfirmed, theirs = (
            instance(tx, version_id, project_id=project) for project in (PROJECT, PROJECT, PROJECT, OTHER)
        )
        building = instance(tx, version_id, built=False)
        for each in (current, old, unconfirmed, theirs, building):
            instance_modules.intend(tx, each, [module_id])
        instance_modules.confirm(tx, current, module_id, digest(CONTENTS))
        for each in (old, theirs):
            instance_modules.confirm(tx, each, module_id, "0" * 32)

    def due(**changes: object) -> set[str]:
        wanted = {"project_id": PROJECT, "include_clustered": False, "md5": None, "touched_before": None, **changes}
        with database.reading() as tx:
            return set(instance_modules.due(tx, module_id, **wanted))  # type: ignore[arg-type]

    assert due() == {old, unconfirmed}
    assert due(project_id=None) == {old, unconfirmed, theirs}
    assert due(md5="0" * 32) == {old}
    assert due(touched_before=utcnow() + timedelta(seconds=1)) == {current, old, unconfirmed}
    assert due(touched_before=utcnow() - timedelta(hours=1)) == {old, unconfirmed}
