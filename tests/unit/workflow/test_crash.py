"""The crash test-kit passes every point, finds what may not run twice, and passes what may."""

from collections.abc import Callable
from typing import Any

from trove.core import errors
from trove.workflow import crash, engine
from trove.workflow.crash import FlowStage, FlowTrial, Point

NO_ROOM = errors.CloudError("no room")


def ensuring() -> FlowTrial:
    """Steps that ensure; the last one fails."""
    world: set[int] = set()

    def fail() -> None:
        raise NO_ROOM

    def flow() -> Any:
        steps = [engine.step(f"s{n}", lambda n=n: world.add(n), lambda n=n: world.discard(n)) for n in (1, 2)]
        return engine.linear("f", *steps, engine.step("s3", fail))

    return FlowTrial(factory=flow, world=lambda: frozenset(world))


def creating() -> FlowTrial:
    """A step that creates another thing each time."""
    return two_steps(lambda world: world.append("thing"))


def two_steps(deed: Callable[[list[str]], None]) -> FlowTrial:
    world: list[str] = []

    def flow() -> Any:
        return engine.linear("f", engine.step("a", lambda: deed(world)), engine.step("b", lambda: None))

    return FlowTrial(factory=flow, world=lambda: tuple(world))


def moments_of(points: tuple[Point, ...]) -> list[str]:
    return [str(point) for point in points if point.place != "save"]


def test_every_point_of_a_reverted_flow_is_passed() -> None:
    run = crash.perform(ensuring())
    assert moments_of(run.points) == [
        *("before do s1", "after do s1", "before do s2", "after do s2"),
        *("before do s3", "before undo s3", "after undo s3"),
        *("before undo s2", "after undo s2", "before undo s1", "after undo s1"),
    ]
    assert run.points.count(Point("save", "before")) == run.points.count(Point("save", "after")) >= 6


def test_steps_that_ensure_pass_whatever_fails_and_whoever_dies() -> None:
    report = crash.rehearse(FlowStage(new=ensuring, error=NO_ROOM))
    assert report.differences == []
    assert {"calm", "fails before do s1", "fails after do s2"} <= set(report.ends)
    assert report.single_deaths > len(report.points)
    assert report.double_deaths == crash.PAIRS


def test_a_step_that_creates_is_found_where_it_happens() -> None:
    report = crash.rehearse(FlowStage(new=creating))
    found = {str(each.points[each.deaths[0] - 1]) for each in report.differences if len(each.deaths) == 1}
    assert found == {"after do a"}
    assert "('thing', 'thing')" in str(report.differences[0])


def test_the_dead_do_not_clean_up() -> None:
    cleaned: list[str] = []

    class Tidy:
        def live(self, reach: crash.Reach) -> None:
            try:
                reach(Point("deed", "before"))
            finally:
                reach(Point("tidying", "before"))
                cleaned.append("tidied")

        def observe(self) -> object:
            return tuple(cleaned)

        def traces(self) -> object:
            return len(cleaned)

    assert crash.perform(Tidy(), deaths=(1,)).end == ("tidied",), "once, by the life after"


def test_points_between_which_nothing_changed_are_one_death() -> None:
    run = crash.perform(two_steps(lambda world: None))
    assert len(run.telling) == 1 + run.points.count(Point("save", "after"))
    assert len(run.telling) < len(run.points)


def test_what_happens_once_does_not_happen_again_after_a_death() -> None:
    happened: list[str] = []
    event = crash.Disturbance(name="event", at=Point("a", "before do"), act=lambda _trial: happened.append("event"))
    crash.perform(two_steps(lambda world: None), (event,), deaths=(3, 2))
    assert happened == ["event"]


def test_what_fails_for_good_fails_in_every_life() -> None:
    failure = crash.Disturbance(name="failure", at=Point("b", "before do"), act=crash.raiser(NO_ROOM), nth=0)
    run = crash.perform(two_steps(lambda world: None), (failure,))
    number = run.points.index(Point("b", "before do"))
    assert crash.perform(two_steps(lambda world: None), (failure,), deaths=(number,)).end == run.end
    assert "no room" in str(run.end)


def test_the_same_seed_chooses_the_same_deaths() -> None:
    first, second = (crash.rehearse(FlowStage(new=creating), seed=7) for _ in range(2))
    assert first.differences == second.differences
    assert (first.runs, first.single_deaths, first.ends) == (second.runs, second.single_deaths, second.ends)
