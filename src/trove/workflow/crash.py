"""Test-kit for flows: kills them at every point, resumes them, and compares the end with that of an undisturbed run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trove.workflow import engine
from trove.workflow.persistence import MemoryPaths


class Killed(BaseException):
    """Stands for the death of the process: nothing handles it."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A place where a runner may die: `moment` is one of `before do`, `after do`, `before undo`, `after undo`."""

    task: str
    moment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A fresh world with a flow on it. `observe` tells what the world looks like; equal worlds compare equal."""

    factory: Callable[[], Any]
    observe: Callable[[], object]
    store: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A death that showed: after it the flow ended otherwise, or left another world."""

    point: Point
    expected: object
    found: object


def points(new_trial: Callable[[], Trial]) -> tuple[Point, ...]:
    """Return the points that an undisturbed run passes, in order: of a flow that fails, also those of its undoing."""
    passed: list[Point] = []
    trial = new_trial()
    engine.run("points", trial.factory, paths=MemoryPaths(), store=trial.store, probe=lambda *at: passed.append(Point(*at)))
    return tuple(passed)


def differences(new_trial: Callable[[], Trial]) -> tuple[Difference, ...]:
    """Kill a fresh trial at each point in turn, resume it, and return where that made a difference; empty is what one wants."""
    calm = new_trial()
    expected = _ending(engine.run("calm", calm.factory, paths=MemoryPaths(), store=calm.store), calm)
    found = [(point, _killed_at(point, new_trial())) for point in points(new_trial)]
    return tuple(Difference(point=point, expected=expected, found=end) for point, end in found if end != expected)


def _killed_at(point: Point, trial: Trial) -> object:
    paths = MemoryPaths()
    lives = 1

    def probe(task: str, moment: str) -> None:
        nonlocal lives
        if lives and Point(task, moment) == point:
            lives -= 1
            raise Killed

    for _ in range(2):
        try:
            return _ending(engine.run("killed", trial.factory, paths=paths, store=trial.store, probe=probe), trial)
        except Killed:
            continue
    raise AssertionError("a flow died twice of one death")


def _ending(outcome: engine.Outcome, trial: Trial) -> object:
    return outcome.state, str(outcome.error), outcome.undo_failures, trial.observe()
