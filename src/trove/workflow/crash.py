"""Test-kit for flows: kills and disturbs them at every point, resumes them, and compares the end with that of a calm run.

It knows neither stores nor clouds. Whoever rehearses brings a `Stage`: how a fresh trial is made, what may befall it, and how
its end is told. Runs must be repeatable: the same disturbances and deaths lead past the same points.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trove.workflow import engine
from trove.workflow.persistence import MemoryPaths, Progress

CALM = "calm"
BEFORE_DO, AFTER_DO, BEFORE_UNDO = "before do", "after do", "before undo"
PAIRS = 30


class Killed(BaseException):
    """Stands for the death of the process: nothing handles it."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A place that a run passes, where it may die: a task with a moment of `engine.Probe`, or a door with one of its own."""

    place: str
    moment: str

    def __str__(self) -> str:
        return f"{self.moment} {self.place}"


Reach = Callable[[Point], None]
"""Told of every point as it is passed. What it raises, `Killed` among it, is what happens there."""


class Trial(Protocol):
    """A fresh world with something to do in it."""

    def live(self, reach: Reach) -> None:
        """Work, as a process that has just started, until nothing is left to do. Lets `Killed` pass at once."""

    def observe(self) -> object:
        """Tell how everything stands, without what may depend on when somebody died; equal worlds compare equal."""

    def traces(self) -> object:
        """Tell what a process that died now would leave behind. Deaths at points of one run that leave the same are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What else happens at a point: `act` is called with the trial, and what it raises is raised there.

    `nth`: the pass at which it happens, from 1, counted over all lives; 0 is every pass.
    """

    name: str
    at: Point
    act: Callable[[Any], None]
    nth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way that a run may go. `circumstance` is the stage's: how the trial's world behaves from the beginning.

    `like_calm`: it must end as the calm run does. `or_as`: another variant whose end is as good when somebody died, because
    what happens comes too late or just in time.
    """

    name: str
    circumstance: str = CALM
    disturbances: tuple[Disturbance, ...] = ()
    like_calm: bool = False
    or_as: "Variant | None" = None


class Stage(Protocol):
    """What is rehearsed, and what may befall it."""

    def trial(self, circumstance: str) -> Trial:
        """Return a fresh trial."""

    def circumstances(self, calm: Sequence[Point]) -> Sequence[str]:
        """Return how else the world may be, of a run that passes these points: helpers that fail or stay silent."""

    def events(self) -> Mapping[str, Callable[[Any], None]]:
        """Return what users may do to a trial at any time, by name."""

    def failure(self, point: Point) -> Callable[[Any], None] | None:
        """Return what lets a point fail for good; None where nothing can fail so."""

    def hiccups(self, point: Point) -> Mapping[str, Callable[[Any], None]]:
        """Return what can go wrong for once at a point, and must not change the end, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: the points that its first life passed, and how it ended.

    `telling` are the numbers, from 1, of the points where a death leaves something else than one at the point before.
    """

    points: tuple[Point, ...]
    telling: tuple[int, ...]
    end: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A run that ended otherwise than it should. `deaths` are numbers of points, from 1, one for each life that ended early."""

    variant: str
    deaths: tuple[int, ...]
    points: tuple[Point, ...]
    expected: tuple[object, ...]
    found: object

    def __str__(self) -> str:
        died = "; ".join(f"died at point {number}: {self._named(number)}" for number in self.deaths) or "nobody died"
        expected = "\n  or        ".join(str(each) for each in self.expected)
        return f"{self.variant} ({died})\n  expected  {expected}\n  found     {self.found}"

    def _named(self, number: int) -> str:
        return str(self.points[number - 1]) if number <= len(self.points) else "after a resume"


@dataclass(slots=True, kw_only=True)
class Report:
    """What was rehearsed: `points` of the calm run, `ends` of the undisturbed variants by name, counts, and what differed."""

    points: tuple[Point, ...] = ()
    ends: dict[str, object] = field(default_factory=dict)
    single_deaths: int = 0
    double_deaths: int = 0
    runs: int = 0
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.points)} points, {len(self.ends)} variants, {self.single_deaths} single and "
            f"{self.double_deaths} double deaths, {self.runs} runs, {len(self.differences)} differences"
        )


def perform(trial: Trial, disturbances: Sequence[Disturbance] = (), deaths: Sequence[int] = ()) -> Run:
    """Run a fresh trial to its end; its n-th life dies at point number `deaths[n]`. Afterwards it is resumed undisturbed."""
    counted: Counter[Point] = Counter()
    first: _Life | None = None
    for fatal in (*deaths, 0):
        life = _Life(trial, disturbances, counted, fatal)
        first = first or life
        try:
            trial.live(life.reach)
        except Killed:
            continue
        break
    assert first is not None
    return Run(points=tuple(first.points), telling=tuple(first.telling), end=trial.observe())


def variants(stage: Stage, calm: Sequence[Point], *, most: int | None = None, seed: int = 0) -> Iterator[Variant]:
    """Yield every way that a run may go whose calm form passes the points `calm`, the calm one itself first.

    With `most`, of a point that is passed more often only so many passes hiccup: `seed` chooses.
    """
    yield Variant(name=CALM, like_calm=True)
    for circumstance in stage.circumstances(calm):
        yield Variant(name=circumstance, circumstance=circumstance)
    passes = Counter(calm)
    for point in passes:
        failure = stage.failure(point)
        if failure is not None:
            yield Variant(name=f"fails {point}", disturbances=(Disturbance(name="failure", at=point, act=failure, nth=0),))
    yield from _failing_undos(stage, list(passes))
    yield from _events(stage, list(passes))
    for point, times in passes.items():
        for name, act in stage.hiccups(point).items():
            for nth in _few(range(1, times + 1), most, seed):
                hiccup = Disturbance(name=name, at=point, act=act, nth=nth)
                yield Variant(name=f"{name} {point} ({nth})", disturbances=(hiccup,), like_calm=True)


def rehearse(stage: Stage, *, seed: int = 0, complete: bool = False, most: int | None = None) -> Report:
    """Try every variant undisturbed by death, every single death of the calm run, and deaths of the other variants.

    These are every one that a variant reaches from its disturbance on where a task fails, a user acts or a circumstance rules;
    and samples where a door fails or hiccups or undoing fails, too, before the disturbance, and of pairs of deaths: `seed`
    chooses. `complete` tries every single death of every variant, and many more pairs; it takes long. `most` lets no variant
    but the calm one have more deaths, and no point hiccup more often, for long flows whose parts are rehearsed elsewhere, too.
    """
    chance = None if complete else random.Random(seed)  # noqa: S311
    report = Report()
    calm = perform(stage.trial(CALM))
    report.points = calm.points
    known: dict[str, tuple[Variant, Run]] = {}
    for variant in variants(stage, calm.points, most=most, seed=seed):
        run = _perform(stage, variant, ())
        report.runs += 1
        known[variant.name] = variant, run
        report.ends[variant.name] = run.end
        if variant.like_calm:
            _compare(report, variant, run, (), {str(calm.end): calm.end})
    for variant, run in known.values():
        for number in _few(_fatal(variant, run, chance), most if variant.name != CALM else None, seed):
            report.single_deaths += 1
            _die(stage, report, known, variant, (number,))
    pairs = random.Random(seed)  # noqa: S311
    for _ in range(PAIRS * (20 if complete else 1)):
        variant, run = known[pairs.choice(list(known))]
        report.double_deaths += 1
        first = pairs.choice(run.telling)
        _die(stage, report, known, variant, (first, pairs.randint(1, max(1, len(run.points) - first // 2))))
    return report


class _Life:
    """Follows one life of a run past its points, to its death at point number `fatal`; 0 lets it live."""

    def __init__(self, trial: Trial, disturbances: Sequence[Disturbance], counted: Counter[Point], fatal: int) -> None:
        self.points: list[Point] = []
        self.telling: list[int] = []
        self._trial = trial
        self._disturbances = disturbances
        self._counted = counted
        self._fatal = fatal
        self._dead = False
        self._left: object = None

    def reach(self, point: Point) -> None:
        """Pass a point. What unwinds after a death dies again wherever it would act: the dead do not clean up."""
        if self._dead:
            raise Killed
        self.points.append(point)
        number = len(self.points)
        self._counted[point] += 1
        for each in self._disturbances:
            if each.at == point and each.nth in {0, self._counted[point]}:
                each.act(self._trial)
        if number == self._fatal:
            self._dead = True
            raise Killed
        if not self._fatal:
            left = self._trial.traces()
            if left != self._left:
                self._left = left
                self.telling.append(number)


@dataclass(kw_only=True)
class FlowTrial:
    """A bare flow, without operations: each task and each write of its state is a point."""

    factory: Callable[[], Any]
    world: Callable[[], object]
    store: Mapping[str, object] = field(default_factory=dict)
    _paths: MemoryPaths = field(default_factory=MemoryPaths)
    _outcome: engine.Outcome | None = None

    def live(self, reach: Reach) -> None:
        """Run or resume the flow."""
        paths = _TalkingPaths(self._paths, reach)
        self._outcome = engine.run("flow", self.factory, paths=paths, store=self.store, probe=lambda *at: reach(Point(*at)))

    def observe(self) -> object:
        """Tell how the flow ended, and its world."""
        assert self._outcome is not None
        return self._outcome.state, str(self._outcome.error), self._outcome.undo_failures, self.world()

    def traces(self) -> object:
        """Tell the world and how often the flow's state was written."""
        return self._paths.saves, self.world()


@dataclass(frozen=True, kw_only=True)
class FlowStage:
    """Rehearses a bare flow. Nothing befalls it but deaths, and each task failing."""

    new: Callable[[], FlowTrial]
    error: Exception | None = None

    def trial(self, _circumstance: str) -> FlowTrial:
        """Return a fresh trial."""
        return self.new()

    def circumstances(self, _calm: Sequence[Point]) -> Sequence[str]:
        """Return nothing."""
        return ()

    def events(self) -> Mapping[str, Callable[[Any], None]]:
        """Return nothing."""
        return {}

    def failure(self, point: Point) -> Callable[[Any], None] | None:
        """Let tasks fail with `error`, if there is one."""
        return raiser(self.error) if self.error is not None and point.moment in {BEFORE_DO, AFTER_DO} else None

    def hiccups(self, _point: Point) -> Mapping[str, Callable[[Any], None]]:
        """Return nothing."""
        return {}


def raiser(error: Exception) -> Callable[[Any], None]:
    """Return what raises `error`, for a `Disturbance`."""

    def act(_trial: Any) -> None:
        raise error

    return act


class _TalkingPaths:
    def __init__(self, paths: MemoryPaths, reach: Reach) -> None:
        self._paths = paths
        self._reach = reach

    def load(self, flow_id: str) -> dict[str, bytes]:
        return self._paths.load(flow_id)

    def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
        self._reach(Point("save", "before"))
        self._paths.save(flow_id, items, progress)
        self._reach(Point("save", "after"))

    def forget(self, flow_id: str) -> None:
        self._paths.forget(flow_id)


def _failing_undos(stage: Stage, calm: Sequence[Point]) -> Iterator[Variant]:
    """Yield variants whose last task fails and of whose undoing one task's fails, too."""
    last = next((point for point in reversed(calm) if point.moment == AFTER_DO), None)
    failure = None if last is None else stage.failure(last)
    if last is None or failure is None:
        return
    for point in calm:
        if point.moment == BEFORE_DO:
            at = Point(point.place, BEFORE_UNDO)
            broken = (
                Disturbance(name="failure", at=last, act=failure, nth=0),
                Disturbance(name="undo", at=at, act=failure, nth=0),
            )
            yield Variant(name=f"fails {last}, then {at}", disturbances=broken)


def _events(stage: Stage, calm: Sequence[Point]) -> Iterator[Variant]:
    """Yield variants in which something happens before anything began, before one of the tasks, or when the last is done."""
    tasks = [*calm[:1], *(point for point in calm if point.moment == BEFORE_DO)]
    done = [point for point in calm if point.moment == AFTER_DO][-1:]
    for name, act in stage.events().items():
        made = [Variant(name=f"{name} {point}", disturbances=(Disturbance(name=name, at=point, act=act),)) for point in tasks]
        yield from made
        for point in done:
            too_late = Disturbance(name=name, at=point, act=act)
            yield Variant(name=f"{name} {point}", disturbances=(too_late,), or_as=made[-1])


def _fatal(variant: Variant, run: Run, chance: random.Random | None) -> Sequence[int]:
    """Return the numbers of the points at which a variant shall die: all that tell, or where `chance` is given, some."""
    every = run.telling
    if chance is None or not variant.disturbances:
        return every
    at = variant.disturbances[0].at
    begins = next((number for number, point in enumerate(run.points, 1) if point == at), 1)
    later = [number for number in every if number >= begins]
    if variant.like_calm or at.moment not in {BEFORE_DO, AFTER_DO} or len(variant.disturbances) > 1:
        return sorted(chance.sample(later, min(1 if variant.like_calm else 3, len(later))))
    # Before its disturbance a variant is the calm run, whose every death was tried.
    earlier = [number for number in every if number < begins]
    return (*sorted(chance.sample(earlier, min(1, len(earlier)))), *later)


def _few(numbers: Sequence[int], most: int | None, seed: int) -> Sequence[int]:
    if most is None or len(numbers) <= most:
        return numbers
    return sorted(random.Random(seed).sample(numbers, most))  # noqa: S311


def _die(
    stage: Stage, report: Report, known: Mapping[str, tuple[Variant, Run]], variant: Variant, deaths: tuple[int, ...]
) -> None:
    good = [known[variant.name][1].end]
    if variant.or_as is not None:
        good.append(known[variant.or_as.name][1].end)
    report.runs += 1
    _compare(report, variant, _perform(stage, variant, deaths), deaths, {str(end): end for end in good})


def _compare(report: Report, variant: Variant, run: Run, deaths: tuple[int, ...], good: Mapping[str, object]) -> None:
    if str(run.end) not in good:
        report.differences.append(
            Difference(variant=variant.name, deaths=deaths, points=run.points, expected=tuple(good.values()), found=run.end)
        )


def _perform(stage: Stage, variant: Variant, deaths: tuple[int, ...]) -> Run:
    return perform(stage.trial(variant.circumstance), variant.disturbances, deaths)
