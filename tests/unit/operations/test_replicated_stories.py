"""Random stories of replicated sets: users, crashes, zombies and a faulty cloud, and never two sources, nor one that is silent
about taking no writes. `TROVE_TEST_STORIES=500` runs so many instead of the fixed ones.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from tests.support.scenes import replicated_set
from tests.support.stepped import SETTINGS, SteppedWorld, stepped_world, unseen
from tests.support.world import CALLER
from tests.unit.operations.test_state_machine import STORIES, Service

from trove.core.errors import TroveError
from trove.operations.instance import delete, detach, eject, promote, replicate
from trove.store import instances

MOST_INSTANCES = 4


class ReplicatedService(Service):
    """The same troubles, around one set and what becomes of it. Most of what users do is replaced by what is done to sets."""

    def create(self, number: int) -> None:
        if len(self.live()) < MOST_INSTANCES:
            self.ask(number, self._replicate)

    def grow(self, number: int) -> None:
        self.ask(number, lambda each: promote.start(self.here.doors, CALLER, each))

    resize = restart = reboot = rebuild = migrate = stop = grow

    def delete(self, number: int) -> None:
        if number % 3 == 0:
            super().delete(number)

    def rename(self, number: int) -> None:
        self.ask(number, lambda each: detach.start(self.here.doors, CALLER, each))

    def change_quota(self, number: int) -> None:
        """Let a source fall silent, and eject it."""
        self.here.clock.advance(200.0)
        self.passed_s += 200.0
        self.ask(number, lambda each: eject.start(self.here.doors, CALLER, each))

    def reset_status(self, number: int) -> None:
        """Nothing: who frees what is in the middle of something takes it upon himself."""

    def change_guests(self, number: int) -> None:
        kind = ("detach_replica", "attach_replica", "make_read_only", "wait_for_txn", "get_last_txn", "enable_as_master")[
            number % 6
        ]
        self.here.script.silent.discard(kind)
        self.here.script.failing.pop(kind, None)
        if number % 3 == 0:
            self.here.script.silent.add(kind)
        elif number % 3 == 1:
            self.here.script.failing[kind] = "The disk is full."

    def let_time_pass(self, number: int) -> None:
        """Hand over what has come: a promotion waits for many guests, and would be starved by the heartbeats of all."""
        super().let_time_pass(number)
        self.deliver_all()

    def deliver_all(self) -> None:
        while self.here.bus.order:
            self.here.deliver(unseen)

    @invariant()
    def one_source_at_a_time(self) -> None:
        assert self.here.guests.replication.split == []

    def delete_everything(self) -> None:
        for _ in range(2):  # sources come after their replicas
            for instance_id in self.eldest_first():
                with suppress(TroveError):
                    delete.start(self.here.doors, CALLER, instance_id)
            self.settle()
        super().delete_everything()

    def _replicate(self, source_id: str) -> None:
        made = replicate.start(self.here.doors, CALLER, replicate.CreateReplicas(name="copy", source_id=source_id))
        self.accepted.add(made.id)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SteppedWorld]:
    logging.disable(logging.CRITICAL)
    try:
        with stepped_world(tmp_path) as made:
            made.settings = replace(SETTINGS, failover_timeout_s=300.0, build_timeout_s=60.0, delete_timeout_s=60.0)
            yield made
    finally:
        logging.disable(logging.NOTSET)


def test_a_set_keeps_its_promises(here: SteppedWorld) -> None:
    source = replicated_set(here)
    with here.store.reading() as tx:
        assert len(instances.get(tx, source).replicas) == 2
    story = type("Story", (ReplicatedService,), {"here": here, "was": here.snapshot(), "seen": Counter()})
    quick = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=STORIES or 20,
            stateful_step_count=40,
            derandomize=not STORIES,
            print_blob=True,
            **quick,  # type: ignore[arg-type]
        ),
    )
    print("", *sorted(f"{what}: {times}" for what, times in story.seen.items()), sep="\n")
    assert story.seen["instance.promote_to_replica_source SUCCEEDED"], "stories must be wild enough"
