"""Flows: they end once, revert what fails, stop where they must, and store little."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from taskflow import task
from taskflow.patterns import linear_flow, unordered_flow

from trove.core import errors
from trove.workflow import engine
from trove.workflow.persistence import MemoryPaths, Progress


class Story:
    """A flow of steps that write down what they do."""

    def __init__(self, count: int = 4, raising: Mapping[int, BaseException] | None = None) -> None:
        self.lines: list[str] = []
        self.count = count
        self.raising = dict(raising or {})

    def __call__(self) -> Any:
        return engine.linear("story", *(engine.step(f"s{n}", self.do(n), self.undo(n)) for n in range(1, self.count + 1)))

    def do(self, number: int) -> Callable[[], int]:
        def deed() -> int:
            self.lines.append(f"do {number}")
            if number in self.raising:
                raise self.raising[number]
            return number

        return deed

    def undo(self, number: int) -> Callable[[Any], None]:
        return lambda result: self.lines.append(f"undo {number} {result}")


def test_a_flow_runs_once_and_keeps_its_outcome_until_forgotten() -> None:
    paths, story = MemoryPaths(), Story(2)
    for _ in range(2):
        assert engine.run("f", story, paths=paths) == engine.Outcome(state=engine.SUCCEEDED)
    assert story.lines == ["do 1", "do 2"]
    engine.forget("f", paths=paths)
    engine.run("f", story, paths=paths)
    assert len(story.lines) == 4


def test_each_task_that_ends_is_one_write_and_the_last_one_is_the_end_of_the_flow() -> None:
    paths = MemoryPaths()
    engine.run("f", Story(9), paths=paths)
    assert paths.saves == 9


def test_a_task_begins_when_it_is_stored_that_those_before_it_have_ended() -> None:
    paths, story = MemoryPaths(), Story(4, {4: errors.QuotaExceeded("too much")})
    stored: list[tuple[str, str, int]] = []
    engine.run("f", story, paths=paths, probe=lambda task, moment: stored.append((task, moment, paths.saves)))
    assert [saves for _, moment, saves in stored if moment == "before do"] == [0, 1, 2, 3]
    assert [saves for _, moment, saves in stored if moment == "before undo"] == [4, 5, 6, 7]


def test_only_what_has_ended_is_written_and_each_once() -> None:
    class Counting(MemoryPaths):
        written = 0

        def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
            self.written += len(items)
            super().save(flow_id, items, progress)

    paths, story = Counting(), Story(9, {9: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        engine.run("f", story, paths=paths)
    assert paths.written == 8 + 1  # the tasks, and once the flow
    assert len(paths.load("f")) == 9


def test_an_end_that_the_caller_stores_is_not_stored_here() -> None:
    for story, state in ((Story(3), engine.SUCCEEDED), (Story(3, {3: errors.CloudError("no")}), engine.REVERTED)):
        paths = MemoryPaths()
        assert engine.run("f", story, paths=paths, keep_end=False).state == state
        last = story.lines[-1]
        # Whoever resumes does the last thing again, and comes to the same end.
        outcome = engine.run("f", story, paths=paths, keep_end=False)
        assert (outcome.state, story.lines[-2:]) == (state, [last, last])
        assert str(outcome.error) == ("None" if state is engine.SUCCEEDED else "no")


def test_flows_that_an_earlier_version_began_are_resumed() -> None:
    """It stored the links between the items, and tasks that had not begun."""
    paths, story = MemoryPaths(), Story(2)
    atom = {
        "failure": None, "revert_failure": None, "results": None, "revert_results": None, "version": "1.0",
        "intention": "EXECUTE",
    }  # fmt: skip
    done = atom | {"meta": {"progress": 0.0}, "name": "s1", "state": "SUCCESS", "uuid": "1"}
    waiting = atom | {"meta": {}, "name": "s2", "state": "PENDING", "uuid": "2"}
    items: dict[str, object] = {
        "books/f": {"name": "f", "meta": {}, "uuid": "f", "updated_at": None, "created_at": None},
        "books/f/f": None,
        "flow_details/f": {"name": "f", "meta": {}, "state": "RUNNING", "uuid": "f"},
        "flow_details/f/1": None,
        "flow_details/f/2": None,
        "atom_details/1": {"atom": done, "type": "TASK_DETAIL"},
        "atom_details/2": {"atom": waiting, "type": "TASK_DETAIL"},
    }
    paths.save("f", {path: b"" if value is None else json.dumps(value).encode() for path, value in items.items()})
    assert engine.run("f", story, paths=paths).state == engine.SUCCEEDED
    assert story.lines == ["do 2"]


def test_results_go_to_the_steps_that_name_them() -> None:
    seen = []
    steps = (
        engine.step("a", lambda seed: seed + 1, provides="first"),
        engine.step("b", lambda first: [first * 10, "x"], provides=("tens", "word")),
        engine.step("c", lambda tens, word, seed=5: seen.append((tens, word, seed))),
    )
    engine.run("f", lambda: engine.linear("f", *steps), paths=MemoryPaths(), store={"seed": 1})
    assert seen == [(20, "x", 5)]


def test_a_failing_step_undoes_itself_and_all_before_it() -> None:
    paths, story = MemoryPaths(), Story(4, {3: errors.QuotaExceeded("too much")})
    outcome = engine.run("f", story, paths=paths)
    assert outcome == engine.Outcome(state=engine.REVERTED, error=story.raising[3])
    assert story.lines == ["do 1", "do 2", "do 3", "undo 3 None", "undo 2 2", "undo 1 1"]
    again = engine.run("f", story, paths=paths)
    assert (again.state, type(again.error), str(again.error)) == (engine.REVERTED, errors.QuotaExceeded, "too much")
    assert len(story.lines) == 6


def test_a_foreign_error_is_returned_but_only_its_class_is_stored() -> None:
    paths, story = MemoryPaths(), Story(1, {1: KeyError("hunter2")})
    assert engine.run("f", story, paths=paths).error is story.raising[1]
    assert not any(b"hunter2" in value for value in paths.load("f").values())
    assert str(engine.run("f", story, paths=paths).error) == "KeyError"


def test_a_result_that_is_no_json_reverts() -> None:
    outcome = engine.run("f", lambda: engine.linear("f", engine.step("s", lambda: {1, 2})), paths=MemoryPaths())  # type: ignore[arg-type,return-value]
    assert isinstance(outcome.error, TypeError)


def test_an_undo_that_fails_does_not_keep_the_others_from_undoing() -> None:
    undone: list[int] = []

    def undo(number: int) -> None:
        if number == 2:
            raise OSError("stuck")
        undone.append(number)

    def fail() -> None:
        raise errors.CloudError("no")

    def flow() -> Any:
        steps = [engine.step(f"s{n}", lambda: None, lambda n=n: undo(n)) for n in (1, 2, 3)]
        return engine.linear("f", *steps, engine.step("fails", fail))

    paths = MemoryPaths()
    for _ in range(2):
        outcome = engine.run("f", flow, paths=paths)
        assert (outcome.state, str(outcome.error), outcome.undo_failures) == (engine.REVERTED, "no", ("s2",))
    assert undone == [3, 1]


def test_a_fenced_step_stops_the_flow_and_undoes_nothing() -> None:
    paths, story = MemoryPaths(), Story(4, {3: errors.Fenced("lost")})
    with pytest.raises(errors.Fenced, match="lost"):
        engine.run("f", story, paths=paths)
    assert story.lines == ["do 1", "do 2", "do 3"]
    # The successor goes on where this one stopped.
    story.raising.clear()
    assert engine.run("f", story, paths=paths).state == engine.SUCCEEDED
    assert story.lines == ["do 1", "do 2", "do 3", "do 3", "do 4"]


def test_a_fenced_undo_or_write_stops_the_flow_too() -> None:
    class Fenced(MemoryPaths):
        def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
            raise errors.Fenced("lost")

    def lost() -> None:
        raise errors.Fenced("lost")

    def fail() -> None:
        raise errors.CloudError("no")

    steps = (engine.step("a", lambda: None, lambda: None), engine.step("b", fail, lost))
    with pytest.raises(errors.Fenced):
        engine.run("f", lambda: engine.linear("f", *steps), paths=MemoryPaths())
    story = Story(2)
    with pytest.raises(errors.Fenced):
        engine.run("g", story, paths=Fenced())
    assert story.lines == ["do 1"]


def test_what_is_no_exception_passes_through_and_leaves_the_flow_to_be_resumed() -> None:
    paths, story = MemoryPaths(), Story(3, {2: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        engine.run("f", story, paths=paths)
    story.raising.clear()
    assert engine.run("f", story, paths=paths).state == engine.SUCCEEDED
    assert story.lines == ["do 1", "do 2", "do 2", "do 3"]


def test_a_store_that_is_away_stops_the_flow_and_undoes_nothing() -> None:
    class Away(MemoryPaths):
        away = True

        def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
            if self.away:
                raise errors.Unavailable("away")
            super().save(flow_id, items, progress)

    paths, story = Away(), Story(2)
    with pytest.raises(errors.Unavailable):
        engine.run("f", story, paths=paths)
    assert story.lines == ["do 1"]
    paths.away = False
    assert engine.run("f", story, paths=paths).state == engine.SUCCEEDED


def test_progress_is_written_with_the_task_that_was_done_and_counts_across_a_resume() -> None:
    paths, story = MemoryPaths(), Story(3, {3: KeyboardInterrupt()})
    for _ in range(2):
        try:
            engine.run("f", story, paths=paths)
        except KeyboardInterrupt:
            story.raising.clear()
    assert paths.shown == [Progress(task=f"s{n}", done=n, total=3) for n in (1, 2, 3)]


def test_undoing_is_no_progress() -> None:
    paths = MemoryPaths()
    engine.run("f", Story(3, {3: errors.CloudError("no")}), paths=paths)
    assert [each.task for each in paths.shown] == ["s1", "s2"]


def test_unordered_tasks_run_at_the_same_time() -> None:
    gate = threading.Barrier(3, timeout=20)

    def flow() -> Any:
        together = unordered_flow.Flow("together").add(*(engine.step(f"t{n}", lambda: gate.wait() * 0) for n in range(3)))
        return linear_flow.Flow("f").add(together, engine.step("after", lambda: None))

    assert engine.run("f", flow, paths=MemoryPaths()).state == engine.SUCCEEDED


def test_plain_taskflow_tasks_are_guarded_alike() -> None:
    class Plain(task.Task):  # type: ignore[misc]
        def __init__(self, error: Exception) -> None:
            super().__init__(name="plain")
            self.error = error

        def execute(self) -> None:
            raise self.error

        def revert(self, result: object, **_: object) -> None:
            lines.append("undone")

    lines: list[str] = []
    for error in (errors.CloudError("no"), errors.Fenced("lost")):
        try:
            outcome = engine.run("f", lambda: linear_flow.Flow("f").add(Plain(error)), paths=MemoryPaths())  # noqa: B023
        except errors.Fenced:
            continue
        assert outcome.error is error
    assert lines == ["undone"]


def test_a_flow_of_nothing_succeeds() -> None:
    assert engine.run("f", lambda: linear_flow.Flow("f"), paths=MemoryPaths()).state == engine.SUCCEEDED


def test_a_step_that_needs_what_nobody_gives_is_a_mistake_that_is_told() -> None:
    with pytest.raises(Exception, match="missing"):
        engine.run("f", lambda: engine.linear("f", engine.step("s", lambda missing: None)), paths=MemoryPaths())
