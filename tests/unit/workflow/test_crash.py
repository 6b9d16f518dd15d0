"""The crash test-kit finds steps that may not run twice, and passes those that may."""

from typing import Any

from trove.core import errors
from trove.workflow import crash, engine
from trove.workflow.crash import Point


def ensuring() -> crash.Trial:
    """Steps that ensure; the last one fails."""
    world: set[int] = set()

    def fail() -> None:
        raise errors.CloudError("no room")

    def flow() -> Any:
        steps = [engine.step(f"s{n}", lambda n=n: world.add(n), lambda n=n: world.discard(n)) for n in (1, 2)]
        return engine.linear("f", *steps, engine.step("s3", fail))

    return crash.Trial(factory=flow, observe=lambda: frozenset(world))


def creating() -> crash.Trial:
    """A step that creates another thing each time."""
    world: list[str] = []

    def flow() -> Any:
        return engine.linear("f", engine.step("a", lambda: world.append("thing")), engine.step("b", lambda: None))

    return crash.Trial(factory=flow, observe=lambda: tuple(world))


def test_every_point_of_a_reverted_flow_is_tried() -> None:
    forwards = [Point("s1", "before do"), Point("s1", "after do"), Point("s2", "before do"), Point("s2", "after do")]
    failing = [Point("s3", "before do"), Point("s3", "before undo"), Point("s3", "after undo")]
    backwards = [Point(f"s{n}", moment) for n in (2, 1) for moment in ("before undo", "after undo")]
    assert crash.points(ensuring) == (*forwards, *failing, *backwards)


def test_steps_that_ensure_pass() -> None:
    assert crash.differences(ensuring) == ()


def test_a_step_that_creates_is_found() -> None:
    (found,) = crash.differences(creating)
    assert found.point == Point("a", "after do")
    assert found.expected != found.found
