"""A flow killed with SIGKILL is taken up by another process where it was left, forwards and backwards."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.rows import add_operation

from trove.core import errors
from trove.core.ids import new_id
from trove.store import operations
from trove.store.paths import Paths
from trove.store.session import Database
from trove.workflow import engine

ROOT = Path(__file__).parents[3]
PASSWORD = "hunter2-is-secret"


def runner(database: Database, flow_id: str, log: Path, *, die: list[str] | None, fail: int = 0) -> tuple[int, dict[str, Any]]:
    url = database.engine.url.render_as_string(hide_password=False)
    orders = {"url": url, "flow_id": flow_id, "log": str(log), "die": die, "fail": fail, "password": PASSWORD}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.flow_runner"],
        input=json.dumps(orders),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


@pytest.mark.parametrize("moment", ["before do", "after do"])
def test_a_flow_killed_in_its_sixth_task_resumes_there(database: Database, tmp_path: Path, moment: str) -> None:
    flow_id, log = new_id(), tmp_path / "log"
    code, _ = runner(database, flow_id, log, die=["task-6", moment])
    assert code == -signal.SIGKILL
    code, outcome = runner(database, flow_id, log, die=None)
    assert (code, outcome["state"]) == (0, "SUCCEEDED")
    sixth = ["do 6"] if moment == "before do" else ["do 6", "do 6"]
    first, rest = [f"do {n}" for n in range(1, 6)], [f"do {n}" for n in range(7, 10)]
    assert log.read_text().splitlines() == [*first, *sixth, *rest]
    # And once it has ended nothing runs again.
    assert runner(database, flow_id, log, die=None)[1]["state"] == "SUCCEEDED"
    assert len(log.read_text().splitlines()) == 8 + len(sixth)


def test_undoing_killed_half_way_goes_on_and_tells_the_first_error(database: Database, tmp_path: Path) -> None:
    flow_id, log = new_id(), tmp_path / "log"
    code, _ = runner(database, flow_id, log, die=["task-4", "after undo"], fail=7)
    assert code == -signal.SIGKILL
    code, outcome = runner(database, flow_id, log, die=None, fail=7)
    assert (code, outcome) == (0, {"state": "REVERTED", "error": "no room at 7", "kind": "CloudError"})
    done = [f"do {n}" for n in range(1, 8)]
    undone = ["undo 7", *(f"undo {n} {n}" for n in (6, 5, 4, 4, 3, 2, 1))]
    assert log.read_text().splitlines() == [*done, *undone]


def test_nothing_that_is_persisted_holds_what_tasks_were_given(database: Database, tmp_path: Path) -> None:
    flow_id = new_id()
    runner(database, flow_id, tmp_path / "log", die=None, fail=7)
    with database.reading() as tx:
        values = tx.execute(text("SELECT value FROM workflow_items")).scalars().all()
    assert values
    assert not any(PASSWORD.encode() in bytes(value) for value in values)


def test_a_forgotten_flow_leaves_nothing(database: Database) -> None:
    paths = Paths(database)
    for flow_id in ("a", "b"):
        engine.run(flow_id, lambda: engine.linear("f", engine.step("s", lambda: 1)), paths=paths)
    engine.forget("a", paths=paths)
    engine.forget("a", paths=paths)
    assert paths.load("a") == {}
    assert paths.load("b") != {}


def test_a_runner_that_was_taken_over_cannot_write_its_progress(database: Database) -> None:
    operation = add_operation(database)
    fence = database.run(operations.claim, operation.id, owner="a")[1]
    ran: list[str] = []

    def taken_over() -> None:
        ran.append("first")
        database.run(operations.claim, operation.id, owner="b")

    def flow() -> Any:
        steps = (
            engine.step("first", taken_over, lambda: ran.append("undone")),
            engine.step("second", lambda: ran.append("second")),
        )
        return engine.linear("f", *steps)

    with pytest.raises(errors.Fenced):
        engine.run(operation.id, flow, paths=Paths(database, fence))
    assert ran == ["first"]
    assert Paths(database).load(operation.id) == {}
    with database.reading() as tx:
        assert operations.get(tx, operation.id).step == ""


def test_what_is_done_and_what_users_see_of_it_is_one_transaction(database: Database) -> None:
    operation = add_operation(database)
    fence = database.run(operations.claim, operation.id, owner="a")[1]
    seen: list[tuple[str, int, int]] = []

    def look() -> None:
        with database.reading() as tx:
            row = operations.get(tx, operation.id)
        seen.append((row.step, row.percent, len(Paths(database).load(operation.id))))

    steps = [engine.step(f"s{n}", look) for n in range(1, 5)]
    paths = Paths(database, fence)
    engine.run(operation.id, lambda: engine.linear("f", *steps), paths=paths)
    look()
    # The items are one for each task, and one for the flow. The last percent is its runner's to give.
    assert seen == [("", 0, 0), ("s1", 25, 2), ("s2", 50, 3), ("s3", 75, 4), ("s4", 99, 5)]
