"""Every engine on the real stack: kill -9 of its server, of its agent or of the task manager in the middle of all that is done.

A life goes through all deeds, and in each somebody dies. Nothing acknowledged is lost, each deed ends done or undone and says
which, what was undone can be done again, and nothing is left. With `TROVE_TEST_EDITIONS=all` everybody dies everywhere; by
default every engine meets every death, and every deed does.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from tests.journeys.test_engines import DATABASE, NAME, PASSWORD, REFUSALS, Journey, journey
from tests.support import editions
from tests.support.editions import Edition
from tests.support.stack import Stack, await_value, processes_naming, stack
from tests.support.workload import Writes

from trove.datastores.contract import Facet

pytestmark = pytest.mark.xdist_group("engine-faults")

ATTEMPTS = 4
"""How often a deed is done until somebody died in the middle of it: some take less than a second."""
FILLER_MIB = 8
UNFINISHED = {"PENDING", "RUNNING", "REVERTING"}
END_S = 240.0
CLOSED = "make_read_only|close_source|catch_up|wait_for_txn|detach_replica|part_candidate|switch_roles|open_candidate"
"""What a promotion does after its source was closed."""


class Victim(StrEnum):
    """Who is killed."""

    SERVER = "server"
    AGENT = "agent"
    TASK_MANAGER = "task-manager"


VICTIMS = tuple(Victim)


@dataclass
class Death:
    """Kills a victim once, in the middle of an operation. `came` tells whether it did; nobody dies without a victim."""

    stack: Stack
    victim: Victim | None
    came: bool = False

    def strike(self, operation_of: str, at: str, *, on: str | None = None) -> None:
        """Wait until the latest operation of an instance is at a step like `at`, and kill, of it or of instance `on`."""
        if self.victim is None or self.came:
            return
        target = on or operation_of

        def over_or_struck() -> bool:
            latest = self.stack.operations(operation_of)[0]
            if latest["state"] not in UNFINISHED:
                return True
            pids = self._pids(target) if latest["state"] == "RUNNING" and re.search(at, latest["step"]) else []
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.came = True
            return self.came

        await_value(over_or_struck, END_S, f"{operation_of} is never at {at}, and does not end")

    def _pids(self, instance_id: str) -> list[int]:
        if self.victim is Victim.TASK_MANAGER:
            return [pid for pid in [self.stack.pid("trove-taskmanager")] if pid]
        if self.victim is Victim.SERVER:
            return self.stack.servers(instance_id)
        return [
            pid for pid, line in processes_naming(instance_id) if line.split(" ")[0].endswith("python") and "guestagent" in line
        ]


@dataclass
class Life:
    """An instance, its backup, its replica, and what is made of the backup; the keys that were acknowledged, by instance."""

    way: Journey
    source: str = ""
    replica: str = ""
    backup: str = ""
    in_backup: set[str] = field(default_factory=set)
    restored: str = ""
    writes: Writes | None = None

    @property
    def stack(self) -> Stack:
        return self.way.stack

    @property
    def acknowledged(self) -> set[str]:
        return set(self.writes.keys) if self.writes else set()

    @contextmanager
    def writing(self, name: str, instance: Callable[[], str], already: set[str]) -> Iterator[None]:
        """Write to an instance, whichever is meant at the moment; it has some keys already."""
        with Writes(lambda: self.way.connect(instance()), name=name) as made:
            made.keys += already
            self.writes = made
            made.await_more(5)
            yield

    def ask(self, path: str, body: Any, method: str = "POST") -> Any:
        """Ask for something as soon as it may be done; return the answer."""

        def accepted() -> Any:
            reply = self.stack.request(method, path, body)
            assert reply.status in {200, 202, 422, 503}, reply.text
            return reply if reply.status < 300 else None

        return await_value(accepted, 60.0, f"{method} {path} is not accepted").body

    def succeeded(self, instance_id: str) -> bool:
        """Wait for the end of the latest operation, and tell which: done, or failed with a reason. There is no third."""

        def ended() -> dict[str, Any] | None:
            latest = self.stack.operations(instance_id)[0]
            return None if latest["state"] in UNFINISHED else latest

        latest: dict[str, Any] = await_value(ended, END_S, f"an operation on {instance_id} does not end\n{self.stack.tails()}")
        assert latest["state"] in {"SUCCEEDED", "FAILED"}, latest
        assert bool(latest["error"]) is (latest["state"] == "FAILED"), latest
        return bool(latest["state"] == "SUCCEEDED")

    def made(self, instance_id: str, keys: set[str]) -> bool:
        """See that an instance was made, with these keys; or that it shows ERROR with a reason, and can be deleted."""
        if self.succeeded(instance_id):
            self.need_serving(instance_id, keys)
            return True
        shown = self.stack.show(instance_id) or {}
        assert shown["status"] == "ERROR", shown
        assert shown["fault"]["message"], shown
        self.drop(instance_id)
        return False

    def need_serving(self, instance_id: str, keys: set[str]) -> None:
        """See that one server serves, with these keys at least."""
        self.stack.await_healthy(instance_id)

        def there() -> bool:
            with suppress(*REFUSALS), closing(self.way.connect(instance_id)) as session:
                return keys <= session.keys()
            return False

        await_value(there, 60.0, f"{instance_id} lacks what was acknowledged")
        await_value(lambda: len(self.stack.servers(instance_id)) == 1, 60.0, f"not one server runs for {instance_id}")

    def drop(self, instance_id: str) -> None:
        """Delete an instance; nothing of it is left."""
        self.stack.delete(instance_id)
        self.stack.await_gone(instance_id)
        self.way.instances.remove(instance_id)

    def forget(self, backup_id: str) -> None:
        """Delete a backup; no object of it is left."""
        self.stack.request("DELETE", f"/backups/{backup_id}")
        gone = lambda: self.stack.request("GET", f"/backups/{backup_id}").status == 404  # noqa: E731
        await_value(gone, 60.0, f"backup {backup_id} is not deleted")
        assert self.stack.leftovers(backup_id) == []


Deed = Callable[[Life, Death], bool]
"""Has it done, and somebody die meanwhile; sees that it is done or undone, and tells which. It may be done again."""


def prepare(life: Life, death: Death) -> bool:
    if life.source:
        life.drop(life.source)
    accounts: dict[str, Any] = {"users": [{"name": NAME, "password": PASSWORD}]}
    if life.way.has(Facet.DATABASES):
        accounts["databases"] = [{"name": DATABASE}]
        accounts["users"][0]["databases"] = [{"name": DATABASE}]
    life.source = life.way.create("source", **accounts)
    death.strike(life.source, "prepare")
    if not life.made(life.source, set()):
        life.source = ""
    return bool(life.source)


def back_up(life: Life, death: Death) -> bool:
    if life.backup:
        life.forget(life.backup)
    life.in_backup = life.acknowledged
    asked = life.ask("/backups", {"backup": {"name": "of a life", "instance": life.source}})
    life.backup = asked["backup"]["id"]
    death.strike(life.source, "backup: ")
    done = life.succeeded(life.source)
    state = life.stack.request("GET", f"/backups/{life.backup}").body["backup"]["status"]
    assert state == ("COMPLETED" if done else "FAILED")
    life.need_serving(life.source, life.acknowledged)
    if not done:
        life.forget(life.backup)
        life.backup = ""
    return done


def replicate(life: Life, death: Death) -> bool:
    if life.replica:
        life.drop(life.replica)
    life.replica = life.way.replicate(life.source)
    # The other server that may die is that of the source.
    death.strike(life.replica, "prepare_replica", on=life.source if death.victim is Victim.SERVER else None)
    if not life.made(life.replica, life.acknowledged):
        life.replica = ""
    life.need_serving(life.source, life.acknowledged)
    return bool(life.replica)


def promote(life: Life, death: Death) -> bool:
    life.ask(f"/instances/{life.replica}/action", {"promote_to_replica_source": {}})
    death.strike(life.replica, CLOSED, on=life.source)
    done = life.succeeded(life.replica)
    if done:
        life.source, life.replica = life.replica, life.source
    followed = (life.stack.show(life.replica) or {}).get("replica_of") or {}
    assert followed.get("id") == life.source
    for each in (life.source, life.replica):
        life.need_serving(each, life.acknowledged)
    assert life.writes is not None
    life.writes.await_more(5)
    life.need_serving(life.replica, life.acknowledged)
    return done


def restore(life: Life, death: Death) -> bool:
    if life.restored:
        life.drop(life.restored)
    life.restored = life.way.create("restored", restorePoint={"backupRef": life.backup})
    death.strike(life.restored, "prepare: ")
    if not life.made(life.restored, life.in_backup):
        life.restored = ""
    return bool(life.restored)


def reshape(life: Life, death: Death) -> bool:
    shown = life.stack.show(life.restored) or {}
    wanted = {"1": "2", "2": "1"}[shown["flavor"]["id"]]
    life.ask(f"/instances/{life.restored}/action", {"resize": {"flavorRef": wanted}})
    death.strike(life.restored, "")
    done = life.succeeded(life.restored)
    life.need_serving(life.restored, life.acknowledged)
    shown = life.stack.show(life.restored) or {}
    assert bool(shown["flavor"]["id"] == wanted) is done
    return done


def grow(life: Life, death: Death) -> bool:
    size = (life.stack.show(life.restored) or {})["volume"]["size"]
    life.ask(f"/instances/{life.restored}/action", {"resize": {"volume": {"size": size + 1}}})
    death.strike(life.restored, "")
    done = life.succeeded(life.restored)
    life.need_serving(life.restored, life.acknowledged)
    assert (life.stack.show(life.restored) or {})["volume"]["size"] == size + done
    return done


def upgrade(life: Life, death: Death) -> bool:
    old, new = life.way.edition.version, editions.newer(life.way.edition)[0].version
    wanted = {"datastore_version": new, "backup_before_upgrade": False}
    life.ask(f"/instances/{life.restored}", {"instance": wanted}, "PATCH")
    death.strike(life.restored, "upgrade: ")
    done = life.succeeded(life.restored)
    life.need_serving(life.restored, life.acknowledged)
    shown = life.stack.show(life.restored) or {}
    assert shown["datastore"]["version"] == (new if done else old)
    return done


DEEDS: tuple[Deed, ...] = (prepare, back_up, replicate, promote, restore, reshape, grow, upgrade)
SHORT: tuple[tuple[Deed, ...], ...] = ((prepare, replicate, promote), (prepare, back_up, restore))


def deaths_of(edition: Edition, turn: int) -> dict[Deed, Victim]:
    """Return who dies in which deed of a whole life; in three turns everybody does in each."""
    deeds = [deed for deed in DEEDS if deed is not upgrade or upgradable(edition)]
    return {deed: VICTIMS[(number + turn) % len(VICTIMS)] for number, deed in enumerate(deeds)}


def upgradable(edition: Edition) -> bool:
    return Facet.UPGRADES in edition.spec.facets and bool(editions.newer(edition))


def lives() -> Iterator[Any]:
    """Yield all lives, or a choice: whole ones of three engines in three turns, and one of each other with all three deaths."""
    for number, edition in enumerate(editions.with_facets(Facet.USERS, Facet.BACKUPS, Facet.REPLICATION)):
        if os.environ.get("TROVE_TEST_EDITIONS") == "all":
            for turn in range(len(VICTIMS)):
                yield pytest.param(edition, deaths_of(edition, turn), id=f"{edition}-{turn}")
        elif upgradable(edition):
            turn = [each.manager for each in editions.DEFAULTS if upgradable(each)].index(edition.manager)
            yield pytest.param(edition, deaths_of(edition, turn), id=str(edition))
        else:
            deeds = SHORT[number % len(SHORT)]
            yield pytest.param(edition, dict(zip(deeds, VICTIMS, strict=True)), id=str(edition))


@pytest.fixture(scope="module")
def whole() -> Iterator[Stack]:
    """A stack of these tests alone: a task manager that dies is not to be another test's trouble."""
    with stack() as running:
        yield running


@pytest.mark.parametrize(("edition", "deaths"), tuple(lives()))
def test_whoever_dies_all_is_done_or_undone_and_can_be_done_again(
    whole: Stack, edition: Edition, deaths: Mapping[Deed, Victim]
) -> None:
    with journey(whole, edition) as way, ExitStack() as meanwhile:
        life = Life(way)
        for deed, victim in deaths.items():
            meet(life, deed, victim)
            if deed is prepare:
                fill(life)
                meanwhile.enter_context(life.writing("early", lambda: life.source, set()))
            if deed is restore:
                meanwhile.close()
                meanwhile.enter_context(life.writing("late", lambda: life.restored, life.in_backup))
    await_value(lambda: not left(whole), 60.0, f"left behind: {left(whole)}")


def fill(life: Life) -> None:
    """Give all that copies data something to do."""
    with closing(life.way.connect(life.source)) as session:
        session.fill(FILLER_MIB)


def meet(life: Life, deed: Deed, victim: Victim) -> None:
    """Do a deed until somebody died in its middle and it is done."""
    death = Death(life.stack, victim)
    for _ in range(ATTEMPTS):
        done = deed(life, death)
        if death.came:
            assert done or deed(life, Death(life.stack, None)), f"{deed.__name__} cannot be done again"
            return
        assert done, f"{deed.__name__} failed though nobody died"
    pytest.fail(f"{deed.__name__} is over before anybody can be killed")


def left(whole: Stack) -> list[str]:
    """Return volumes, addresses, objects and unfinished operations that nobody owns any more."""
    folders = [folder for name in ("volumes", "ports") for folder in (whole.root / "cloud" / name).glob("*")]
    objects = [path for bucket in ("backups", "replicas") for path in whole.root.rglob(f"database_{bucket}/**/*")]
    operations = whole.request("GET", "/operations").body["operations"]
    unfinished = [f"{each['kind']} of {each['resource_id']}" for each in operations if each["state"] in UNFINISHED]
    return [str(path) for path in [*folders, *(path for path in objects if path.is_file())]] + unfinished
