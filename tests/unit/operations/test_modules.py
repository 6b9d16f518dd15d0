"""Modules given to new instances, and applied again: what guests are told, and how that ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.world import CALLER, World, request, until, world

from trove.core.callers import Caller
from trove.core.modules import digest
from trove.core.operations import Operation, OperationState
from trove.core.status import Task
from trove.operations.doors import ModuleSettings, Settings
from trove.operations.instance import create, rebuild
from trove.operations.module import apply, reapply, update
from trove.operations.module import create as create_module
from trove.operations.module.options import Options
from trove.store import instance_modules, instances, operations

ADMIN = Caller(project_id="adm", user_id="a1", request_id="req-2", is_admin=True)
OLD, NEW = b"message=old", b"message=new"


def module(here: World, name: str = "greeting", caller: Caller = CALLER, **options: object) -> str:
    wanted = create_module.CreateModule(
        name=name,
        type="ping",
        contents=OLD,
        options=Options(live_update=True, **options),  # type: ignore[arg-type]
    )
    return create_module.start(here.doors, caller, wanted).id


def run(here: World) -> Operation:
    """Run what was announced last to its end."""
    runner = here.runner()
    operation_id = here.announcer.announced[-1]
    runner.run_now(operation_id)
    with here.database.reading() as tx:
        return operations.get(tx, operation_id)


def built(here: World, *module_ids: str) -> str:
    instance = create.start(here.doors, CALLER, request(module_ids=module_ids))
    assert run(here).state is OperationState.SUCCEEDED
    return instance.id


def has(here: World, instance_id: str) -> dict[str, str | None]:
    """Return the MD5 of each module of an instance, by id."""
    with here.database.reading() as tx:
        return {each.module.id: each.md5 for each in instance_modules.of_instance(tx, instance_id, project_id=None)}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """A world where guests are given up soon, and batches are small."""
    settings = Settings(
        default_datastore="mariadb",
        guest_call_timeout_s=2.0,
        modules=ModuleSettings(reapply_max_batch_size=2, reapply_min_batch_delay_s=0.01),
    )
    with world(tmp_path, settings=settings) as made:
        yield made


def test_a_new_instance_gets_its_modules_after_its_database(here: World) -> None:
    asked, automatic = module(here, apply_order=9), module(here, "all", ADMIN, auto_apply=True, all_tenants=True)
    instance_id = built(here, asked)
    assert has(here, instance_id) == {asked: digest(OLD), automatic: digest(OLD)}
    assert [kind for _, kind, _ in here.guests.jobs] == ["prepare", "apply_modules"]
    sent = here.guests.jobs[-1][2]["modules"]
    assert isinstance(sent, list)
    assert [each["id"] for each in sent] == [automatic, asked]  # type: ignore[call-overload, index]


def test_an_instance_without_modules_is_not_asked_to_apply_any(here: World) -> None:
    built(here)
    assert [kind for _, kind, _ in here.guests.jobs] == ["prepare"]


def test_a_module_that_cannot_be_applied_fails_the_creation_and_is_not_said_to_be_there(here: World) -> None:
    module_id = module(here)
    here.script.failing["apply_modules"] = "Module greeting cannot be applied: it is broken."
    instance = create.start(here.doors, CALLER, request(module_ids=(module_id,)))
    ended = run(here)
    assert (ended.state, ended.error) == (OperationState.FAILED, "Module greeting cannot be applied: it is broken.")
    assert has(here, instance.id) == {module_id: None}
    with here.database.reading() as tx:
        assert instances.get(tx, instance.id).task is Task.FAILED


@pytest.mark.parametrize("fails", [False, True])
def test_a_server_that_is_made_anew_gets_its_modules_again(here: World, fails: bool) -> None:
    module_id = module(here)
    instance_id = built(here, module_id)
    if fails:
        here.script.failing["apply_modules"] = "It is broken."
    rebuild.start(here.doors, CALLER, instance_id, "host")
    assert run(here).state is OperationState.SUCCEEDED, "the instance serves all the same"
    assert [kind for _, kind, _ in here.guests.jobs][-2:] == ["prepare", "apply_modules"]
    assert has(here, instance_id) == {module_id: None if fails else digest(OLD)}


def test_a_changed_module_is_applied_again_to_those_that_have_others(here: World) -> None:
    module_id = module(here)
    ids = [built(here, module_id) for _ in range(3)]
    update.start(here.doors, CALLER, module_id, update.UpdateModule(contents=NEW))
    apply.start(here.doors, CALLER, ids[0], [module_id])
    reapply.start(here.doors, CALLER, module_id, reapply.Reapply())
    assert run(here).state is OperationState.SUCCEEDED
    assert [has(here, each)[module_id] for each in ids] == [digest(NEW)] * 3


def test_only_those_with_the_given_contents_are_touched(here: World) -> None:
    module_id = module(here)
    first, second = built(here, module_id), built(here, module_id)
    update.start(here.doors, CALLER, module_id, update.UpdateModule(contents=NEW))
    with here.database.transaction() as tx:
        instance_modules.confirm(tx, second, module_id, "0" * 32)
    reapply.start(here.doors, CALLER, module_id, reapply.Reapply(md5=digest(OLD)))
    assert run(here).state is OperationState.SUCCEEDED
    assert (has(here, first)[module_id], has(here, second)[module_id]) == (digest(NEW), "0" * 32)


def test_by_force_also_those_that_have_it_are_told_once_more(here: World) -> None:
    module_id = module(here)
    instance_id = built(here, module_id)
    with here.database.reading() as tx:
        before = instance_modules.one(tx, instance_id, module_id, project_id=None).updated
    for force in (False, True):
        reapply.start(here.doors, CALLER, module_id, reapply.Reapply(force=force))
        assert run(here).state is OperationState.SUCCEEDED
        with here.database.reading() as tx:
            assert (instance_modules.one(tx, instance_id, module_id, project_id=None).updated > before) is force


def test_a_guest_that_fails_keeps_none_back_and_is_named(here: World) -> None:
    module_id = module(here)
    silent, answering = built(here, module_id), built(here, module_id)
    update.start(here.doors, CALLER, module_id, update.UpdateModule(contents=NEW))
    here.guests._served[silent].stop()
    reapply.start(here.doors, CALLER, module_id, reapply.Reapply())
    ended = run(here)
    assert ended.state is OperationState.FAILED
    assert silent in (ended.error or "")
    assert answering not in (ended.error or "")
    until(lambda: has(here, answering)[module_id] == digest(NEW))
    assert has(here, silent)[module_id] == digest(OLD)


def test_what_guests_say_is_in_the_operations_error(here: World) -> None:
    module_id = module(here)
    built(here, module_id)
    here.script.failing["module_apply"] = "It is broken."
    reapply.start(here.doors, CALLER, module_id, reapply.Reapply(force=True))
    assert "It is broken." in (run(here).error or "")
