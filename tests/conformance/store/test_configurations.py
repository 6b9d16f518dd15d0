"""Configuration groups and parameters: what was stored comes back, on every database, and no race makes it a lie."""

import threading

import pytest

from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.core.instances import NewInstance
from trove.core.parameters import Parameter, ParameterType
from trove.store import configurations, datastores, instances, parameters
from trove.store.session import Database, Tx

PROJECT = "p1"
VALUES = {"an_integer": 2**64 - 1, "a_float": 0.1, "a_boolean": False, "a_text": "é😀 'x' \\", "a_list": ["a", 1]}


@pytest.fixture
def version_id(database: Database) -> str:
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        return datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6").id


def group(tx: Tx, version_id: str, *, project_id: str = PROJECT, **values: object) -> str:
    return configurations.insert(
        tx,
        project_id=project_id,
        name="tuned",
        description=None,
        version_id=version_id,
        values=values,  # type: ignore[arg-type]
    ).id


def instance(tx: Tx, version_id: str, configuration_id: str | None = None) -> str:
    new = NewInstance(
        id=new_id(),
        name="orders",
        project_id=PROJECT,
        flavor_id="2",
        ram_mib=512,
        datastore_version_id=version_id,
        key=b"k" * 32,
        configuration_id=configuration_id,
    )
    return instances.insert(tx, new).id


def test_a_group_comes_back_with_values_of_every_type(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id = group(tx, version_id, **VALUES)
    with database.reading() as tx:
        found = configurations.get(tx, group_id, project_id=PROJECT)
    assert found.values == VALUES
    assert {key: type(value) for key, value in found.values.items()} == {key: type(value) for key, value in VALUES.items()}
    assert (found.name, found.description, found.datastore_version.id) == ("tuned", None, version_id)
    assert found.created == found.updated


def test_keys_that_differ_in_case_alone_are_two(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        assert configurations.values(tx, group(tx, version_id, a=1, A=2)) == {"A": 2, "a": 1}


def test_a_group_of_another_project_is_not_found(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id = group(tx, version_id)
        for wanted in (group_id, new_id()):
            with pytest.raises(NotFound):
                configurations.get(tx, wanted, project_id="p2")
        with pytest.raises(NotFound):
            configurations.hold(tx, group_id, project_id="p2")


def test_pages_hold_every_group_once_also_while_others_come_and_go(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        ours = sorted(group(tx, version_id) for _ in range(5))
        group(tx, version_id, project_id="p2")
        first = configurations.page(tx, project_id=PROJECT, limit=2)
        assert [each.id for each in first.items] == ours[:2]
        configurations.mark_deleted(tx, ours[1])  # the marker itself
        rest = configurations.page(tx, project_id=PROJECT, limit=3, marker=first.next_marker)
        assert [each.id for each in rest.items] == ours[2:]
        assert rest.next_marker is None
        assert len(configurations.page(tx, project_id=None, limit=9).items) == 5


def test_values_are_replaced_and_names_change(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id = group(tx, version_id, a=1, b=2)
        configurations.change(tx, group_id, name="new", description="why", values={"b": 3})
        found = configurations.get(tx, group_id)
        assert (found.name, found.description, found.values) == ("new", "why", {"b": 3})
        configurations.change(tx, group_id, name=None, description=None, values=None)
        assert configurations.get(tx, group_id).values == {"b": 3}


def test_an_instance_shows_its_group_and_the_group_its_live_instances(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id = group(tx, version_id)
        found = sorted(instance(tx, version_id, group_id) for _ in range(3))
        instance(tx, version_id)
        assert configurations.get(tx, group_id).instance_count == 3
        assert instances.get(tx, found[0]).configuration_name == "tuned"
        page = instances.page(tx, project_id=PROJECT, limit=9)
        assert [each.configuration_name for each in page.items].count("tuned") == 3
        assert [each.id for each in configurations.attached(tx, group_id, limit=2).items] == found[:2]
        assert [each.id for each in configurations.attached(tx, group_id, limit=2, marker=found[1]).items] == found[2:]
        instances.mark_deleted(tx, found[0], fence=None)
        instances.set_configuration(tx, found[1], None)
        assert configurations.attached_ids(tx, group_id) == (found[2],)
        assert instances.get(tx, found[1]).configuration_name is None


def test_a_group_is_deleted_only_when_nothing_uses_it(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id = group(tx, version_id, a=1)
        using = instance(tx, version_id, group_id)
        with pytest.raises(InvalidInput, match=using):
            configurations.mark_deleted(tx, group_id)
        instances.set_configuration(tx, using, None)
        configurations.mark_deleted(tx, group_id)
        with pytest.raises(NotFound):
            configurations.get(tx, group_id)
        assert configurations.values(tx, group_id) == {}


def test_a_group_is_not_deleted_while_it_is_being_attached(database: Database, version_id: str) -> None:
    with database.transaction() as tx:
        group_id, target = group(tx, version_id), instance(tx, version_id)
    held, ends = threading.Event(), []

    def delete() -> None:
        held.wait(10)
        try:
            with database.transaction() as tx:
                configurations.hold(tx, group_id)
                configurations.mark_deleted(tx, group_id)
        except InvalidInput:
            ends.append("refused")

    deleter = threading.Thread(target=delete)
    deleter.start()
    with database.transaction() as tx:
        configurations.hold(tx, group_id)
        held.set()
        deleter.join(0.2)  # it waits for this transaction, however long that takes
        instances.set_configuration(tx, target, group_id)
    deleter.join(30)
    assert ends == ["refused"]


def test_parameters_come_back_with_their_bounds_and_may_be_said_anew(database: Database, version_id: str) -> None:
    whole = Parameter(name="a", type=ParameterType.INTEGER, restart_required=True, minimum=0, maximum=2**64 - 1)
    broken = Parameter(name="b", type=ParameterType.FLOAT, restart_required=False, minimum=0.5)
    text = Parameter(name="c", type=ParameterType.STRING, restart_required=False)
    with database.transaction() as tx:
        parameters.put(tx, version_id, whole, broken, text)
        assert parameters.of_version(tx, version_id) == {"a": whole, "b": broken, "c": text}
        anew = Parameter(name="a", type=ParameterType.BOOLEAN, restart_required=False)
        parameters.put(tx, version_id, anew)
        assert parameters.of_version(tx, version_id)["a"] == anew
        assert parameters.of_version(tx, new_id()) == {}


def test_what_was_removed_is_gone_and_a_shipped_one_is_remembered_as_removed(database: Database, version_id: str) -> None:
    own = Parameter(name="own", type=ParameterType.STRING, restart_required=False)
    with database.transaction() as tx:
        parameters.put(tx, version_id, own)
        parameters.remove(tx, version_id, "own", shipped=False)
        for _ in range(2):
            parameters.remove(tx, version_id, "shipped", shipped=True)
        assert parameters.of_version(tx, version_id) == {"shipped": None}
        assert parameters.forget(tx, version_id) == 1
        assert parameters.of_version(tx, version_id) == {}
