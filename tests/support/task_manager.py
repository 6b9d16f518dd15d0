"""A task manager in a process of its own whose deeds leave marks in a file, and last while another file is there."""

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.world import MemoryAdmission, RecordedAnnouncer

from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.catalogue import KINDS
from trove.operations.doors import Doors, Settings
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store.session import Database
from trove.store.vault import Vault
from trove.taskmanager.keeper import Policy
from trove.taskmanager.periodic import Periodic
from trove.taskmanager.runner import Runner
from trove.workflow.locks import Locks

KIND = "test.work"
LEASE_S = 1.0
DEED_S = 0.05
STEPS = ("first", "second", "third")


def main() -> None:
    """Serve from the second line on stdin to the third."""
    orders = json.loads(sys.stdin.readline())
    marks = os.open(orders["marks"], os.O_WRONLY | os.O_APPEND)
    pause = threading.Event()
    held = Path(orders["held"]) if orders["held"] else None

    def mark(moment: str, work: Work, name: str) -> None:
        words = (moment, os.getpid(), work.operation.resource_id, work.operation.id, work.fence.number, name)
        os.write(marks, (" ".join(map(str, words)) + "\n").encode())

    def deed(name: str) -> Callable[[Work], None]:
        def do(work: Work) -> None:
            mark("begin", work, name)
            pause.wait(DEED_S)
            while held is not None and held.exists():
                pause.wait(DEED_S)
            mark("end", work, name)

        return do

    def flow(work: Work) -> Any:
        return line(work, *(step(work, deed(name), waiting_for=f"the {name} deed", name=name) for name in STEPS))

    kind = replace(next(iter(KINDS.values())), flow=flow, succeed=lambda _tx, _work: None, fail=lambda _tx, _work, _error: None)
    database = Database(orders["url"], vault=Vault([orders["key"].encode()]))
    admission = MemoryAdmission()
    doors = Doors(
        database=database,
        cloud=MemoryCloud(),
        bus=MemoryBus(),
        admission=admission,
        objects=MemoryObjectStore(),
        announcer=RecordedAnnouncer(),
        settings=Settings(),
    )
    name = f"manager-{os.getpid()}"
    locks = Locks(orders["locks"], name)
    runner = Runner(doors, locks=locks, owner=name, workers=2, policy=Policy(lease_s=LEASE_S), kinds={KIND: kind})
    periodic = Periodic(database, runner, admission=admission, interval_s=0.2, keep_finished_days=0)
    runner.start()
    print("ready", flush=True)
    sys.stdin.readline()
    periodic.start()
    sys.stdin.readline()
    periodic.stop()
    stopped = runner.stop(timeout_s=20)
    locks.close()
    database.close()
    print("stopped" if stopped else "hangs", flush=True)


def managers_command() -> list[str]:
    """Return the command that runs one, to be started in the root of the tree."""
    return [sys.executable, "-m", "tests.support.task_manager"]


ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    main()
