"""A task manager that dies before or after any task and any commit of any flow changes nothing about the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.world import CALLER, PROJECT, World, request, world

from trove.core.errors import CloudError, NotFound
from trove.core.status import shown_status
from trove.operations.catalogue import KINDS
from trove.operations.instance import create, delete, restart
from trove.store import instances, operations, quotas
from trove.store.session import Database, Tx
from trove.workflow.crash import Killed

Story = Callable[[World], str]
"""Books the operation to disturb, on a world of its own; returns the instance id."""


class MortalDatabase(Database):
    """The real store, whose user dies at the n-th of: before a transaction, after its commit."""

    passed = 0
    fatal: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self._point()
        with super().transaction() as tx:
            yield tx
        self._point()

    def _point(self) -> None:
        self.passed += 1
        if self.passed == self.fatal:
            raise Killed


def build(here: World) -> str:
    return create.start(here.doors, CALLER, request()).id


def build_that_fails(here: World) -> str:
    here.script.failing["prepare"] = "The disk is full."
    return build(here)


def build_refused_by_the_cloud(here: World) -> str:
    here.cloud.order_fault("ensure_server", CloudError("No valid host was found."), times=None)
    return build(here)


def cancelled_build(here: World) -> str:
    instance_id = build(here)
    delete.start(here.doors, CALLER, instance_id)
    return instance_id


def deletion(here: World) -> str:
    instance_id = built(here)
    delete.start(here.doors, CALLER, instance_id)
    return instance_id


def failing_deletion(here: World) -> str:
    here.cloud.order_fault("delete_volume", CloudError("A snapshot holds it."), times=None)
    return deletion(here)


def restarting(here: World) -> str:
    instance_id = built(here)
    restart.start(here.doors, CALLER, instance_id)
    return instance_id


def failing_restart(here: World) -> str:
    here.script.failing["restart"] = "The disk is full."
    return restarting(here)


def built(here: World) -> str:
    instance_id = build(here)
    run_until_quiet(here)
    return instance_id


STORIES: tuple[Story, ...] = (
    build,
    build_that_fails,
    build_refused_by_the_cloud,
    cancelled_build,
    deletion,
    failing_deletion,
    restarting,
    failing_restart,
)


def run_until_quiet(here: World, **options: object) -> None:
    while True:
        with here.database.reading() as tx:
            waiting = operations.unfinished(tx, limit=1)
        if not waiting:
            return
        here.runner(**options).run_now(waiting[0].id)  # type: ignore[arg-type]


def end_of(here: World, instance_id: str) -> object:
    """Tell all that must not depend on when somebody died."""
    with here.database.reading() as tx:
        ended = [
            (operation.kind, operation.state.value, operation.error)
            for operation in operations.page(tx, project_id=PROJECT, limit=9).items
        ]
        counted = [(quota.resource.value, quota.in_use) for quota in quotas.limits_of(tx, PROJECT, {})]
        items = tx.connection.exec_driver_sql("select count(*) from workflow_items").scalar()
        secrets = tx.connection.exec_driver_sql("select count(*) from operations where secrets is not null").scalar()
        try:
            found = instances.get(tx, instance_id)
        except NotFound:
            instance: object = "gone"
        else:
            fault = found.fault.message if found.fault else None
            shown = shown_status(found.task, found.server_status)
            instance = (shown, found.addresses, found.port, found.server_id, found.volume, fault)
    left = here.cloud.leftovers()
    held = (len(left.servers), len(left.volumes), len(left.ports), len(here.admission.admitted))
    jobs = sorted(kind for _, kind, _ in here.guests.jobs)
    return str((ended, counted, items, secrets, instance, held, jobs)).replace(instance_id, "ID")


@contextmanager
def staged(directory: Path, story: Story) -> Iterator[tuple[World, str]]:
    directory.mkdir()
    with world(directory, database=MortalDatabase) as here:
        # The conductor lives in another process: it has a store of its own and survives.
        yield here, story(here)


def mortal(here: World) -> MortalDatabase:
    """Return a second store on the same file: that of the process that dies."""
    return MortalDatabase(str(here.database.engine.url), vault=here.database.vault)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_death_around_any_task(tmp_path: Path, story: Story):
    passed: list[tuple[str, str]] = []
    with staged(tmp_path / "calm", story) as (here, instance_id):
        run_until_quiet(here, probe=lambda *point: passed.append(point))
        calm = end_of(here, instance_id)
    assert len(passed) >= 4
    for number, fatal in enumerate(passed):
        with staged(tmp_path / str(number), story) as (here, instance_id):
            lives = iter([Killed()])

            def probe(task: str, moment: str, fatal: tuple[str, str] = fatal, lives: Iterator[Killed] = lives) -> None:
                if (task, moment) == fatal and (death := next(lives, None)):
                    raise death

            with pytest.raises(Killed):
                run_until_quiet(here, probe=probe)
            run_until_quiet(here)
            assert end_of(here, instance_id) == calm, f"after a death at {fatal}"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_death_around_any_commit(tmp_path: Path, story: Story):
    with staged(tmp_path / "calm", story) as (here, instance_id):
        store = mortal(here)
        run_until_quiet(here, doors=replace(here.doors, database=store))
        calm, commits = end_of(here, instance_id), store.passed
        store.close()
    assert commits >= 10
    for fatal in range(1, commits + 1):
        with staged(tmp_path / str(fatal), story) as (here, instance_id):
            store = mortal(here)
            store.fatal = fatal
            try:
                run_until_quiet(here, doors=replace(here.doors, database=store))
            except Killed:
                run_until_quiet(here)
            finally:
                store.close()
            assert end_of(here, instance_id) == calm, f"after a death at commit point {fatal} of {commits}"


def test_every_kind_of_operation_has_a_story(tmp_path: Path):
    seen: set[str] = set()
    for number, story in enumerate(STORIES):
        with staged(tmp_path / str(number), story) as (here, _), here.database.reading() as tx:
            seen |= {operation.kind for operation in operations.page(tx, project_id=PROJECT, limit=9).items}
    assert seen == set(KINDS)
