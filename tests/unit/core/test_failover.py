"""Changing who is the source, on a model of servers whose clients never stop to write: interrupted after every deed, taken back
or gone on with, no acknowledged write is lost and no two servers take writes at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from trove.core.errors import TroveError
from trove.core.failover import EJECTION, PROMOTION, UNDO, Deed, Undo, best_replica, may_take_back, others
from trove.core.replication import Received

SOURCE, CANDIDATE, OTHER = "source", "candidate", "other"


class SplitBrain(AssertionError):
    """Two servers took writes at a time."""


@dataclass
class Server:
    running: bool = True
    writable: bool = False
    follows: str | None = None
    followed: str | None = None
    writes: list[int] = field(default_factory=list)


class World:
    """Three servers and clients that write wherever a server takes it. Replication is as lazy as it may be."""

    def __init__(self, deeds: Sequence[Deed], *, received: Sequence[int] = (0, 0)) -> None:
        self.deeds = deeds
        self.servers = {SOURCE: Server(writable=True)}
        for name in (CANDIDATE, OTHER):
            self.servers[name] = Server(follows=SOURCE, followed=SOURCE)
        self.replica_of: dict[str, str | None] = {SOURCE: None, CANDIDATE: SOURCE, OTHER: SOURCE}
        self.acknowledged: list[int] = []
        self.next = 0
        for count, name in zip(received, (CANDIDATE, OTHER), strict=True):
            for _ in range(count - len(self.servers[SOURCE].writes)):
                self.clients_write()
            self.servers[name].writes = self.servers[SOURCE].writes[:count]
        self.survives = set(self.best().writes) if Deed.FENCE in deeds else None

    def best(self) -> Server:
        return max((self.servers[CANDIDATE], self.servers[OTHER]), key=lambda server: len(server.writes))

    def clients_write(self) -> None:
        takers = [server for server in self.servers.values() if server.running and server.writable]
        if len(takers) > 1:
            raise SplitBrain
        for taker in takers:
            self.next += 1
            taker.writes.append(self.next)
            self.acknowledged.append(self.next)

    def do(self, deed: Deed) -> None:
        source, candidate = self.servers[SOURCE], self.servers[CANDIDATE]
        if deed in {Deed.NEAR, Deed.CATCH_UP}:
            if candidate.follows == SOURCE:
                candidate.writes = list(source.writes)
        elif deed is Deed.CLOSE:
            source.writable = False
        elif deed is Deed.FENCE:
            source.running = False
        elif deed is Deed.PART:
            candidate.follows = None
        elif deed is Deed.SWITCH:
            self.replica_of = {SOURCE: CANDIDATE, CANDIDATE: None, OTHER: CANDIDATE}
        elif deed is Deed.OPEN:
            candidate.writable = True
        elif deed is Deed.FOLLOW:
            # A source that is ejected is told nothing: it would not answer.
            for name in others(list(self.servers), but=[CANDIDATE, SOURCE] if Deed.FENCE in self.deeds else [CANDIDATE]):
                self.follow(name, CANDIDATE)

    def follow(self, name: str, whom: str) -> None:
        server = self.servers[name]
        server.follows = server.followed = whom
        server.writable = False
        # Following another history throws away what that one does not have.
        server.writes = list(self.servers[whom].writes)

    def undo(self, undo: Undo) -> None:
        if not may_take_back(SOURCE, self.replica_of):
            return
        if undo is Undo.REOPEN:
            self.servers[SOURCE].writable = True
        elif undo is Undo.UNFENCE:
            self.servers[SOURCE].running = True
        elif undo is Undo.REJOIN:
            self.follow(CANDIDATE, SOURCE)

    def check(self) -> None:
        """Fail unless everything that must survive is where clients now write."""
        takers = [server for server in self.servers.values() if server.running and server.writable]
        assert len(takers) <= 1
        (new_source,) = [name for name, source in self.replica_of.items() if source is None]
        holder = self.servers[new_source]
        must = set(self.acknowledged)
        if self.survives is not None and new_source != SOURCE:
            # What a dead source sent to nobody is lost; whatever was acknowledged since is not.
            must = self.survives | {write for write in self.acknowledged if write in holder.writes}
        assert must <= set(holder.writes), f"lost: {sorted(must - set(holder.writes))}"


def run(world: World, *, times: int = 1, stop_after: int | None = None) -> None:
    """Do the deeds, each so often, up to the given number of them; clients write all the time."""
    for number, deed in enumerate(world.deeds):
        if number == stop_after:
            break
        for _ in range(times):
            world.clients_write()
            world.do(deed)
            world.clients_write()


def take_back(world: World, done: int) -> None:
    """Take back what was done, the last first."""
    for deed in reversed(world.deeds[:done]):
        if deed in UNDO:
            world.clients_write()
            world.undo(UNDO[deed])
            world.clients_write()


@pytest.mark.parametrize("deeds", [PROMOTION, EJECTION], ids=["promotion", "ejection"])
@pytest.mark.parametrize("times", [1, 2])
def test_it_ends_with_one_source_that_has_everything(deeds: Sequence[Deed], times: int) -> None:
    world = World(deeds, received=(2, 1))
    run(world, times=times)
    world.check()
    assert world.servers[CANDIDATE].writable
    assert world.replica_of[OTHER] == CANDIDATE
    assert not (world.servers[SOURCE].running and world.servers[SOURCE].writable)


@pytest.mark.parametrize(
    ("deeds", "done"), [(deeds, done) for deeds in (PROMOTION, EJECTION) for done in range(len(deeds) + 1)]
)
def test_whenever_it_is_given_up_it_is_either_as_before_or_switched(deeds: Sequence[Deed], done: int) -> None:
    world = World(deeds, received=(2, 1))
    run(world, stop_after=done)
    take_back(world, done)
    world.check()
    if done <= deeds.index(Deed.SWITCH):
        assert world.servers[SOURCE].running
        assert world.servers[SOURCE].writable
        assert world.servers[CANDIDATE].follows == SOURCE
        assert world.replica_of[SOURCE] is None
    else:
        assert world.replica_of[SOURCE] == CANDIDATE
        assert not (world.servers[SOURCE].running and world.servers[SOURCE].writable)


@pytest.mark.parametrize(("deeds", "died"), [(deeds, died) for deeds in (PROMOTION, EJECTION) for died in range(len(deeds))])
def test_who_dies_after_a_deed_does_it_again_and_goes_on(deeds: Sequence[Deed], died: int) -> None:
    world = World(deeds, received=(2, 1))
    run(world, stop_after=died + 1)
    for deed in deeds[died:]:
        world.do(deed)
        world.clients_write()
    world.check()
    assert world.servers[CANDIDATE].writable


@pytest.mark.parametrize(
    ("deeds", "done"), [(deeds, done) for deeds in (PROMOTION, EJECTION) for done in range(len(deeds) + 1)]
)
def test_an_undo_that_does_nothing_loses_nothing(deeds: Sequence[Deed], done: int) -> None:
    """Somebody gives up and dies before he has taken anything back: clients may wait, but nothing is lost."""
    world = World(deeds, received=(2, 1))
    run(world, stop_after=done)
    world.check()


def dangerous(order: Sequence[Deed]) -> bool:
    """Tell whether an order of deeds loses a write or lets two servers take writes, wherever it is interrupted."""
    for done in range(len(order) + 1):
        for after in (lambda _world, _done: None, take_back):
            world = World(order, received=(2, 1))
            try:
                run(world, stop_after=done)
                _call(after, world, done)
                world.check()
            except AssertionError:
                return True
    return False


def _call(after: Callable[[World, int], None], world: World, done: int) -> None:
    after(world, done)


def orders(deeds: Sequence[Deed], early: Deed, late: Deed) -> Iterator[tuple[Deed, ...]]:
    """Yield all orders in which `late` comes before `early`."""
    for order in permutations(deeds):
        if order.index(late) < order.index(early):
            yield order


@pytest.mark.parametrize(
    ("early", "late"),
    [(Deed.CLOSE, Deed.OPEN), (Deed.CATCH_UP, Deed.OPEN), (Deed.SWITCH, Deed.OPEN), (Deed.CLOSE, Deed.CATCH_UP)],
)
def test_the_model_finds_every_promotion_in_another_order(early: Deed, late: Deed) -> None:
    core = tuple(deed for deed in PROMOTION if deed is not Deed.NEAR)
    assert not dangerous(core)
    assert all(dangerous(order) for order in orders(core, early, late))


@pytest.mark.parametrize(("early", "late"), [(Deed.FENCE, Deed.OPEN), (Deed.SWITCH, Deed.OPEN)])
def test_the_model_finds_every_ejection_in_another_order(early: Deed, late: Deed) -> None:
    assert not dangerous(EJECTION)
    assert all(dangerous(order) for order in orders(EJECTION, early, late))


def test_the_way_back_is_open_until_the_new_roles_are_recorded() -> None:
    assert may_take_back("s", {"s": None, "r": "s"})
    assert not may_take_back("s", {"s": "r", "r": None})
    assert not may_take_back("s", {"r": "s"})


def received(**positions: int) -> dict[str, Received]:
    return {name: Received(origin="o", position=position) for name, position in positions.items()}


def test_the_best_replica_has_received_most_and_ties_are_always_broken_alike() -> None:
    assert best_replica(received(a=1, b=3, c=2)) == "b"
    for order in permutations("cab"):
        assert best_replica(received(**dict.fromkeys(order, 7))) == "a"


def test_replicas_of_different_histories_are_not_compared() -> None:
    with pytest.raises(TroveError, match="different sources"):
        best_replica({**received(a=1), "b": Received(origin="p", position=9)})
    with pytest.raises(TroveError, match="no replica"):
        best_replica({})
