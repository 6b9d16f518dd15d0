"""Random users, crashes, zombies, lost messages and a faulty cloud: whatever comes, the service keeps its promises.

`TROVE_TEST_STORIES=500` runs so many random stories instead of the fixed ones.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support.puppets import Puppet, stale
from tests.support.rehearsals import UNEXPLAINED, problems
from tests.support.stepped import SETTINGS, Snapshot, SteppedWorld, idle_instance, stepped_world, unseen
from tests.support.world import CALLER, request

from trove.core.errors import CloudBusy, CloudError, TroveError, Unavailable
from trove.core.operations import Operation
from trove.core.quotas import Resource
from trove.operations.backup import create as back_up
from trove.operations.backup import delete as delete_backup
from trove.operations.instance import (
    create,
    delete,
    migrate,
    reboot,
    rebuild,
    rename,
    reset_status,
    resize_flavor,
    resize_volume,
    restart,
    stop,
)
from trove.operations.operation import cancel
from trove.operations.reconcile.round import ReconcileSettings
from trove.store import backups, instances, operations, quotas
from trove.taskmanager.keeper import Policy
from trove.taskmanager.reconciler import Reconciler

STORIES = int(os.environ.get("TROVE_TEST_STORIES", "0"))
POLICY = Policy(lease_s=9.0, hang_grace_s=1e9)
BEAT_S = POLICY.lease_s / 3
LATE_S = POLICY.lease_s + POLICY.grace.total_seconds()
MOST_PUPPETS = 3
MOST_INSTANCES = 3
PATIENCE_S = 400.0
"""Longer than any operation's deadline and the time to undo it."""

VERBS = (
    "grow_volume",
    "resize_server",
    "reboot_server",
    "rebuild_server",
    "migrate_server",
    "ensure_port",
    "ensure_volume",
    "ensure_server",
    "delete_server",
    "delete_volume",
    "delete_port",
    "find_server",
)
FAULTS = (
    CloudBusy("Too many requests.", retry_after_s=2.0),
    Unavailable("The cloud is away."),
    CloudError("No valid host was found."),
)
ROWS = ("instances", "operations", "quota_usages", "workflow_items", "instance_faults", "guest_jobs", "service_statuses")

some = st.integers(min_value=0, max_value=23)

HAPPENINGS = (
    *("go_on", "deliver") * 4,
    *("create", "delete", "restart", "kill", "freeze", "thaw", "start_task_manager", "let_time_pass") * 2,
    *("grow", "resize", "stop", "reboot", "rebuild", "migrate"),
    *("back_up",) * 2,
    "delete_backup",
    *("rename", "reset_status", "cancel", "change_quota", "reconcile"),
    *("fail_the_cloud", "lose_a_server", "disturb_a_message", "change_guests"),
)
CREATIONS = frozenset({create.KIND, back_up.KIND})
STEPS = (0, 1, 2, 3, 5, 8, 13, 21)


class Service(RuleBasedStateMachine):
    """Users, task managers, guests and a cloud, in an order that Hypothesis invents."""

    here: SteppedWorld
    was: Snapshot
    seen: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.here.restore(self.was)
        self.puppets: list[Puppet] = []
        self.born = 0
        self.frozen_at: dict[str, float] = {}
        self.passed_s = 0.0
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        self.reconciler = Reconciler(
            self.here.doors,
            locks=self.here.locks,  # type: ignore[arg-type]
            offer=lambda _operation_id: False,
            settings=ReconcileSettings(vanished_percent=100),
            interval_s=60.0,
        )
        self.start_task_manager()

    @rule(what=st.sampled_from(HAPPENINGS), number=some, worker=some, steps=st.sampled_from(STEPS))
    def happen(self, what: str, number: int, worker: int, steps: int) -> None:
        """Let one thing happen, and some task manager work. One rule, because Hypothesis leaves rules out of most stories."""
        getattr(self, what)(number)
        self.work(worker, number, steps)

    # Users

    def create(self, number: int) -> None:
        if len(self.live()) < MOST_INSTANCES:
            with suppress(TroveError):
                self.accepted.add(create.start(self.here.doors, CALLER, request(name=f"db{number}")).id)

    def delete(self, number: int) -> None:
        self.ask(number, lambda each: delete.start(self.here.doors, CALLER, each))

    def restart(self, number: int) -> None:
        self.ask(number, lambda each: restart.start(self.here.doors, CALLER, each))

    def grow(self, number: int) -> None:
        self.ask(number, lambda each: resize_volume.start(self.here.doors, CALLER, each, 3 + number % 8))

    def resize(self, number: int) -> None:
        self.ask(number, lambda each: resize_flavor.start(self.here.doors, CALLER, each, str(1 + number % 4)))

    def stop(self, number: int) -> None:
        self.ask(number, lambda each: stop.start(self.here.doors, CALLER, each))

    def reboot(self, number: int) -> None:
        self.ask(number, lambda each: reboot.start(self.here.doors, CALLER, each))

    def rebuild(self, number: int) -> None:
        self.ask(number, lambda each: rebuild.start(self.here.doors, CALLER, each, "host"))

    def migrate(self, number: int) -> None:
        self.ask(number, lambda each: migrate.start(self.here.doors, CALLER, each, None))

    def back_up(self, number: int) -> None:
        wanted = {"name": f"b{number}", "incremental": number % 2 == 0}
        self.ask(number, lambda each: back_up.start(self.here.doors, CALLER, back_up.CreateBackup(instance_id=each, **wanted)))

    def delete_backup(self, number: int) -> None:
        with self.here.store.reading() as tx:
            there = sorted(backups.live_ids(tx), key=lambda each: backups.get(tx, each).created)
        if there:
            with suppress(TroveError):
                delete_backup.start(self.here.doors, CALLER, there[number % len(there)])

    def rename(self, number: int) -> None:
        self.ask(number, lambda each: rename.start(self.here.doors, CALLER, each, f"renamed{number}"))

    def reset_status(self, number: int) -> None:
        self.ask(number, lambda each: reset_status.start(self.here.doors, CALLER, each))

    def cancel(self, number: int) -> None:
        if waiting := self.unfinished():
            with suppress(TroveError):
                cancel.start(self.here.doors, CALLER, waiting[number % len(waiting)].id)

    def change_quota(self, number: int) -> None:
        with self.here.store.transaction() as tx:
            quotas.set_limit(tx, CALLER.project_id, Resource.INSTANCES, number % 6 - 1)

    # Task managers

    def start_task_manager(self, _number: int = 0) -> None:
        if len(self.puppets) < MOST_PUPPETS:
            self.born += 1
            self.puppets.append(Puppet(self.here, self.born, POLICY))

    def kill(self, number: int) -> None:
        candidates = self.busy() or self.puppets
        if candidates:
            puppet = candidates[number % len(candidates)]
            self.puppets.remove(puppet)
            self.count("an idle task manager was killed" if puppet.idle else "a busy task manager was killed")
            puppet.kill()

    def freeze(self, number: int) -> None:
        if busy := self.busy():
            puppet = busy[number % len(busy)]
            puppet.frozen = True
            self.frozen_at[puppet.name] = self.passed_s
            self.let_time_pass(3)

    def thaw(self, number: int) -> None:
        puppet = next((puppet for puppet in self.puppets if puppet.frozen), None)
        if puppet is not None:
            self.wake(puppet)
            if number % 2:
                puppet.beat()

    def reconcile(self, _number: int) -> None:
        self.reconciler.round()

    def go_on(self, number: int) -> None:
        """Let whoever is busy get on."""
        for puppet in self.busy():
            for _ in range(number):
                self.move(puppet, 0)
            self.deliver(1)

    # Cloud, bus and guests

    def fail_the_cloud(self, number: int) -> None:
        fault = FAULTS[number % len(FAULTS)]
        self.here.cloud.order_fault(VERBS[number // len(FAULTS) % len(VERBS)], fault, after=number % 2 == 0)

    def lose_a_server(self, number: int) -> None:
        if servers := list(self.here.cloud._servers):
            del self.here.cloud._servers[servers[number % len(servers)]]

    def deliver(self, number: int) -> None:
        for _ in range(min(number % 5 + 1, len(self.here.bus.order))):
            self.here.deliver(unseen)

    def disturb_a_message(self, number: int) -> None:
        if self.here.bus.order and number % 2:
            self.here.deliver(unseen)
            self.here.repeat_message()
        elif self.here.bus.order:
            self.here.lose_message()

    def change_guests(self, number: int) -> None:
        kind = ("prepare", "restart", "start", "stop")[number % 4]
        self.here.script.silent.discard(kind)
        self.here.script.failing.pop(kind, None)
        if number % 3 == 0:
            self.here.script.silent.add(kind)
        elif number % 3 == 1:
            self.here.script.failing[kind] = "The disk is full."

    def let_time_pass(self, number: int) -> None:
        seconds = (0.5, 1.0, 3.0, LATE_S + 1.0, 70.0)[number % 5]
        while seconds > 0:
            part = min(seconds, BEAT_S)
            self.here.clock.advance(part)
            self.passed_s += part
            seconds -= part
            for puppet in self.puppets:
                if not puppet.frozen:
                    puppet.beat()
                elif self.passed_s - self.frozen_at[puppet.name] >= POLICY.lease_s:
                    puppet.late = True
        for instance_id in self.here.guests.serving():
            if self.here._reachable(instance_id):
                self.here.guests.beat(instance_id)

    # What must hold at any time

    @invariant()
    def quota_equals_reality(self) -> None:
        with self.here.store.reading() as tx:
            owed = dict.fromkeys(Resource, 0)
            for instance_id in instances.live_ids(tx):
                for resource, amount in instances.charges(tx, instance_id).items():
                    owed[resource] += amount
            for operation in operations.unfinished(tx, limit=99):
                # What is created is in the rows already.
                for name, amount in operation.reserved.items() if operation.kind not in CREATIONS else ():
                    owed[Resource(name)] += max(0, amount)
            owed[Resource.BACKUPS] = len(backups.live_ids(tx))
            counted = {each.resource: each.in_use + each.reserved for each in quotas.limits_of(tx, CALLER.project_id, {})}
        assert counted == owed

    @invariant()
    def what_was_deleted_stays_deleted(self) -> None:
        with self.here.store.reading() as tx:
            live = instances.live_ids(tx)
        assert not self.deleted & live
        self.deleted |= self.accepted - live

    @invariant()
    def ended_operations_hold_no_secret(self) -> None:
        with self.here.store.reading() as tx:
            statement = "select count(*) from operations where secrets is not null and finished is not null"
            assert tx.connection.exec_driver_sql(statement).scalar() == 0

    @invariant()
    def one_runner_works_on_a_resource(self) -> None:
        at_work = [each for each in self.puppets if each.standing and each.in_deed and not each.late and self.owns(each)]
        resources = [each.standing.resource_id for each in at_work if each.standing]
        assert len(resources) == len(set(resources)), [(each.name, each.standing) for each in at_work]

    # The end

    def teardown(self) -> None:
        try:
            self.settle()
            self.everything_ended()
            self.delete_everything()
        finally:
            for puppet in self.puppets:
                puppet.kill()

    def settle(self) -> None:
        """Let all troubles end and everybody work, until all is quiet and every zombie has woken up."""
        self.here.cloud.clear_faults()
        self.here.script.silent.clear()
        self.here.script.failing.clear()
        began = self.passed_s
        while self.unfinished() or not all(puppet.idle for puppet in self.puppets):
            if all(puppet.frozen for puppet in self.puppets):
                self.start_task_manager()
            for number in range(len(self.puppets)):
                self.work(number, number, 5)
            if self.here.bus.order:
                self.here.deliver(unseen)
            self.let_time_pass(1)
            self.quota_equals_reality()
            self.what_was_deleted_stays_deleted()
            self.one_runner_works_on_a_resource()
            if self.passed_s - began > LATE_S + 3.0:
                for puppet in self.puppets:
                    self.wake(puppet)
            assert self.passed_s - began < PATIENCE_S, f"stuck: {self.unfinished()}"
        for puppet in self.puppets:
            self.wake(puppet)
        while self.here.bus.order:
            self.here.deliver(unseen)
        with self.here.store.reading() as tx:
            for operation in operations.page(tx, project_id=CALLER.project_id, limit=99).items:
                self.count(f"{operation.kind} {operation.state.value}")

    def everything_ended(self) -> None:
        self.reconciler.round()
        self.reconciler.round()
        # What could not be undone, or landed when its zombie woke up, stays until its instance is deleted.
        assert not [each for each in problems(self.here) if not each.startswith(UNEXPLAINED)]

    def delete_everything(self) -> None:
        for instance_id in self.eldest_first():
            with suppress(TroveError):
                delete.start(self.here.doors, CALLER, instance_id)
        self.settle()
        for _ in range(2):
            self.reconciler.round()
        assert problems(self.here) == []
        assert self.live() == frozenset()
        with self.here.store.reading() as tx:
            kept = sorted(backups.live_ids(tx))
        for backup_id in kept:
            with suppress(TroveError):
                delete_backup.start(self.here.doors, CALLER, backup_id)
        self.settle()
        assert self.here.objects._objects == {}
        left = self.here.cloud.leftovers()
        assert (left.servers, left.volumes, left.ports, self.here.admission.admitted) == ((), (), (), set())

    # Ways to do it

    def work(self, worker: int, which: int, steps: int) -> None:
        """Let a task manager take so many steps, if there is one that may."""
        for puppet in self.puppets[worker % len(self.puppets) :][:1] if self.puppets else ():
            for _ in range(0 if puppet.frozen else steps):
                self.move(puppet, which)

    def count(self, what: str) -> None:
        self.seen[what] += 1

    def busy(self) -> list[Puppet]:
        return [each for each in self.puppets if not each.idle and not each.frozen]

    def live(self) -> frozenset[str]:
        with self.here.store.reading() as tx:
            return instances.live_ids(tx)

    def owns(self, puppet: Puppet) -> bool:
        """Tell whether a task manager still owns what it works on: it may have let go of it, and be about to leave."""
        return not any(stale(self.here, hand) for hand in puppet.hands())

    def eldest_first(self) -> list[str]:
        """Return the live instances in an order that does not hang on their random ids."""
        with self.here.store.reading() as tx:
            return sorted(instances.live_ids(tx), key=lambda each: instances.get(tx, each).created)

    def unfinished(self) -> tuple[Operation, ...]:
        with self.here.store.reading() as tx:
            return operations.unfinished(tx, limit=99)

    def ask(self, number: int, verb: Callable[[str], object]) -> None:
        if ids := self.eldest_first():
            with suppress(TroveError):
                verb(ids[number % len(ids)])

    def wake(self, puppet: Puppet) -> None:
        puppet.frozen = False
        self.frozen_at.pop(puppet.name, None)

    def move(self, puppet: Puppet, which: int) -> None:
        """Let a task manager do one step; what another has taken from it, it must not write."""
        if puppet.idle:
            puppet.late = False
            if waiting := self.unfinished():
                puppet.take(waiting[which % len(waiting)])
            return
        fenced = any(stale(self.here, hand) for hand in puppet.hands())
        before = self.rows() if fenced else None
        puppet.step()
        if fenced:
            self.count("a zombie woke up")
            assert self.rows() == before, f"a zombie wrote before {puppet.standing}"

    def rows(self) -> object:
        with self.here.store.reading() as tx:
            return {table: tx.connection.exec_driver_sql(f"select * from {table}").all() for table in ROWS}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    logging.disable(logging.CRITICAL)
    try:
        with stepped_world(tmp_path) as made:
            made.settings = replace(
                SETTINGS,
                build_timeout_s=60.0,
                restart_timeout_s=60.0,
                resize_timeout_s=60.0,
                delete_timeout_s=60.0,
                revert_timeout_s=30.0,
            )
            yield made
    finally:
        logging.disable(logging.NOTSET)


def test_the_service_keeps_its_promises(here: SteppedWorld) -> None:
    idle_instance(here)
    story = type("Story", (Service,), {"here": here, "was": here.snapshot(), "seen": Counter()})
    quick = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=STORIES or 40,
            stateful_step_count=40,
            derandomize=not STORIES,
            print_blob=True,
            **quick,  # type: ignore[arg-type]
        ),
    )
    print("", *sorted(f"{what}: {times}" for what, times in story.seen.items()), sep="\n")
    assert story.seen["a zombie woke up"], "stories must be wild enough"
