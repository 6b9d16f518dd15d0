"""The reconciler beside operations on every database: no false finding, nothing broken, no deadlock that anybody notices."""

import logging
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.world import CALLER, PROJECT, World, request, until, world

from trove.core.clock import utcnow
from trove.core.instances import Instance
from trove.core.operations import OperationState
from trove.core.status import shown_status
from trove.operations.doors import Limits, Settings
from trove.operations.instance import create, delete, restart
from trove.operations.reconcile.round import ReconcileSettings
from trove.store import instances, operations, orphans
from trove.store.session import Database
from trove.store.vault import Vault
from trove.taskmanager.reconciler import Reconciler
from trove.taskmanager.runner import Runner
from trove.workflow.locks import Locks

SETTINGS = Settings(limits=Limits(max_volumes_gib=-1), default_datastore="mariadb")
HARMLESS = {"servers compared", "reports forgotten"}
"""What rounds may count while nothing is wrong: a report of a guest can be stored while its instance is being deleted."""


class Rounds:
    """Rounds that follow each other without pause, in a thread, as of a service that has run for long."""

    def __init__(self, here: World) -> None:
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._reconciler = Reconciler(
            here.doors,
            locks=Locks(f"file://{here.lock_dir}", "reconciler"),
            offer=lambda operation_id: False,
            settings=ReconcileSettings(unowned_after_s=3600.0),
            interval_s=60.0,
        )
        memory = self._reconciler._memory
        memory.began = memory.listening_since = utcnow() - timedelta(days=365)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> "Rounds":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self.counts.update(self._reconciler.round() or {})
                self.counts["rounds"] += 1
        except BaseException as error:
            self.error = error


def same(database: Database) -> type[Database]:
    """Return the state database of this test as a class, for a world that would like to have its own."""
    url = database.engine.url.render_as_string(hide_password=False)

    class Same(Database):
        def __init__(self, _: str, *, vault: Vault) -> None:
            super().__init__(url, vault=vault)

    return Same


def finish(here: World, runner: Runner) -> None:
    """Have everything that waits run, and wait for its end."""

    def quiet() -> bool:
        with here.database.reading() as tx:
            waiting = operations.unfinished(tx, limit=100)
        for operation in waiting:
            runner.offer(operation.id)
        return not waiting

    until(quiet, seconds=60, what="all operations")


def shown(here: World, ids: list[str]) -> list[tuple[str, object]]:
    """Return status and fault of instances."""

    def one(found: Instance) -> tuple[str, object]:
        return shown_status(found.task, found.server_status), found.fault

    with here.database.reading() as tx:
        return [one(instances.get(tx, instance_id)) for instance_id in ids]


def test_creates_restarts_and_deletes_beside_a_busy_reconciler_suffer_nothing(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    healthy = ("ACTIVE", None)
    with world(tmp_path, database=same(database), settings=SETTINGS) as here:
        runner = here.runner(workers=4)
        runner.start()
        try:
            with Rounds(here) as rounds:
                for number in range(3):
                    ids = [create.start(here.doors, CALLER, request(name=f"db{number}-{each}")).id for each in range(4)]
                    finish(here, runner)
                    assert shown(here, ids) == [healthy] * 4
                    for one in ids[:3]:
                        restart.start(here.doors, CALLER, one)
                    delete.start(here.doors, CALLER, ids[3])
                    finish(here, runner)
                    assert shown(here, ids[:3]) == [healthy] * 3
                    for one in ids[:3]:
                        delete.start(here.doors, CALLER, one)
                    finish(here, runner)
        finally:
            assert runner.stop(timeout_s=20)
        with here.database.reading() as tx:
            ended = operations.page(tx, project_id=PROJECT, limit=100).items
            assert orphans.all(tx) == ()
        left = here.cloud.leftovers()
        assert (left.servers, left.volumes, left.ports, here.admission.admitted) == ((), (), (), set())
    assert [operation.state for operation in ended] == [OperationState.SUCCEEDED] * 33
    assert rounds.error is None
    assert rounds.counts.pop("rounds") > 3
    assert set(rounds.counts) <= HARMLESS, rounds.counts
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_busy_reconciler_would_notice(database: Database, tmp_path: Path):
    """The same rounds do find what is wrong: what keeps them quiet above is that nothing is."""
    with world(tmp_path, database=same(database), settings=SETTINGS) as here:
        instance_id = create.start(here.doors, CALLER, request()).id
        here.runner().run_now(here.announcer.announced[0])
        with Rounds(here):
            here.cloud.break_server(instance_id, "The host burned down.")
            until(lambda: shown(here, [instance_id])[0][0] == "ERROR")
            here.cloud.start_server(instance_id)
            until(lambda: shown(here, [instance_id])[0] == ("ACTIVE", None))
