"""Whatever dies, fails, is lost or comes twice, and whenever: every kind of operation ends as it should, and nothing is left.

The crash test-kit rehearses each kind in the catalogue by itself; a new kind needs no new test here. Every death of the calm
run is tried. For the kinds that all others are made of, so is every death of every failing run; for the others some of each.
`TROVE_TEST_CRASHES=all` tries every single death of every variant of all kinds, which takes hours; with the names of kinds,
separated by commas, of these, which takes minutes a kind.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.rehearsals import UNEXPLAINED, KindStage
from tests.support.scenes import Scene, one_replica, scene_of, source_with_tls
from tests.support.stepped import SteppedWorld, stepped_world

from trove.core.callers import Caller
from trove.core.errors import TroveError
from trove.operations.catalogue import KINDS
from trove.operations.cluster import create as create_cluster
from trove.operations.cluster import grow
from trove.operations.cluster import upgrade as upgrade_cluster
from trove.operations.doors import Doors
from trove.operations.instance import (
    create,
    delete,
    eject,
    promote,
    rejoin,
    replicate,
    restart,
    update_access,
    upgrade,
)
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instances, operations
from trove.store.session import Tx
from trove.workflow import crash

FUNDAMENTAL = {create.KIND, delete.KIND, restart.KIND}
LONG = {
    upgrade.KIND: 3,
    promote.KIND: 3,
    eject.KIND: 3,
    rejoin.KIND: 3,
    create_cluster.KIND: 2,
    grow.KIND: 2,
    upgrade_cluster.KIND: 2,
}
"""Of each failing variant of these so many deaths are tried: clusters are worked on by the steps of instances, and upgrades and
replicas begin with those of a backup."""
MOST = 5
"""The same of the others, but for the fundamental ones."""
NAMED = {create.KIND, delete.KIND, update_access.KIND}
"""These are tried where instances get names in DNS."""
WANTED = os.environ.get("TROVE_TEST_CRASHES", "")
COMPLETE = set(KINDS) if WANTED == "all" else set(KINDS) & set(WANTED.split(","))


def most_of(kind: str) -> int | None:
    """Return how many deaths of each failing variant of a kind are tried; None is all of them."""
    return None if kind in FUNDAMENTAL | COMPLETE else LONG.get(kind, MOST)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    # What flows say of a thousand failures is of no use.
    logging.disable(logging.CRITICAL)
    try:
        with stepped_world(tmp_path) as made:
            yield made
    finally:
        logging.disable(logging.NOTSET)


def stage_of(here: SteppedWorld, kind: str, scene: Scene | None = None, **changes: Any) -> KindStage:
    """Return the stage of a kind, on its own scene or another, or of one that is like it but for `changes`."""
    if kind in NAMED:
        here.give_names()
    idle = (scene or scene_of(kind))(here)
    here.kinds = {**KINDS, kind: replace(KINDS[kind], **changes)}
    return KindStage(kind=kind, here=here, idle=idle, was=here.snapshot())


def forbidden(report: crash.Report) -> dict[str, str]:
    """Return the ends that begin with something that must never be."""
    found = {}
    for name, end in report.ends.items():
        text = str(end)
        if "before undo" in name or "objects." in name:
            # What cannot be undone now stays until the instance is deleted, or the backup.
            text = re.sub(rf"'{UNEXPLAINED} \w+'(, )?", "", text)
        if not text.startswith("([], "):
            found[name] = text
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_ends_alike_whenever_its_task_manager_dies(here: SteppedWorld, kind: str) -> None:
    report = crash.rehearse(stage_of(here, kind), complete=kind in COMPLETE, most=most_of(kind))
    print(f"\n{kind}: {report}")
    assert not report.differences, "\n".join(str(each) for each in report.differences[:5])
    assert not forbidden(report)


@pytest.mark.slow
def test_a_replica_is_built_alike_whenever_its_task_manager_dies(here: SteppedWorld) -> None:
    def replicate_it(doors: Doors, caller: Caller, instance_id: str) -> str:
        return replicate.start(doors, caller, replicate.CreateReplicas(name="rehearsal", source_id=instance_id)).id

    report = crash.rehearse(stage_of(here, create.KIND, source_with_tls, rehearse=replicate_it), most=most_of(promote.KIND))
    assert crash.Point("prepare_replica", crash.AFTER_DO) in report.points
    assert crash.Point("serve_tls", crash.AFTER_DO) in report.points
    assert not report.differences, "\n".join(str(each) for each in report.differences[:5])
    assert not forbidden(report)


@pytest.mark.slow
def test_a_replica_is_deleted_alike_whenever_its_task_manager_dies(here: SteppedWorld) -> None:
    report = crash.rehearse(stage_of(here, delete.KIND, one_replica), most=None if COMPLETE else MOST)
    assert crash.Point("leave_source", crash.AFTER_DO) in report.points
    assert not report.differences, "\n".join(str(each) for each in report.differences[:5])
    assert not forbidden(report)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_task_of_every_kind_is_rehearsed(here: SteppedWorld, kind: str) -> None:
    stage = stage_of(here, kind)
    passed = crash.perform(stage.trial(crash.CALM)).points
    trial = stage.trial(crash.CALM)
    operation, fence = here.store.run(operations.claim, trial.operation_id, owner="test")
    flow = KINDS[kind].flow(Work(doors=here.doors, operation=operation, fence=fence))
    tasks = {task.name for task, _ in flow.iter_nodes()}
    assert tasks
    for moment in (crash.BEFORE_DO, crash.AFTER_DO):
        assert {point.place for point in passed if point.moment == moment} == tasks
    # Every transaction and every door it uses is a point, too.
    assert passed.count(crash.Point("transaction", "before")) == passed.count(crash.Point("transaction", "after")) > len(tasks)
    names = [variant.name for variant in crash.variants(stage, passed)]
    assert len(set(names)) == len(names)
    assert {"deleted", "cancelled"} & {name.split(" ")[0] for name in names}


def test_the_kit_finds_a_task_that_may_not_run_twice(here: SteppedWorld) -> None:
    def append_to_name(work: Work) -> None:
        with work.doors.database.transaction() as tx:
            name = instances.get(tx, work.operation.resource_id).name
            instances.rename(tx, work.operation.resource_id, f"{name}+")

    def flow(work: Work) -> Any:
        return line(work, step(work, append_to_name, waiting_for="a longer name"))

    report = crash.rehearse(stage_of(here, restart.KIND, flow=flow))
    found = [each for each in report.differences if each.variant == crash.CALM]
    assert {str(each.points[each.deaths[0] - 1]) for each in found} <= {"after transaction", "after do append_to_name"}
    assert "idle++" in str(found[0].found)
    assert "idle++" in str(found[0])


def test_the_kit_finds_an_undo_that_is_missing(here: SteppedWorld) -> None:
    def flow(work: Work) -> Any:
        return line(work, step(work, create.ensure_volume, waiting_for="the volume"))

    report = crash.rehearse(stage_of(here, create.KIND, flow=flow))
    assert forbidden(report)["fails after do ensure_volume"].startswith(f"(['{UNEXPLAINED} volume']")


def test_the_kit_finds_an_end_that_leaves_the_instance_busy(here: SteppedWorld) -> None:
    def forget_the_task(_tx: Tx, _work: Work, _error: TroveError) -> None:
        pass

    def flow(work: Work) -> Any:
        return line(work, step(work, restart.ensure_running, waiting_for="the server to run"))

    report = crash.rehearse(stage_of(here, restart.KIND, flow=flow, fail=forget_the_task))
    assert "stuck in REBOOT" in forbidden(report)["fails before do ensure_running"]
