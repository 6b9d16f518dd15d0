"""One task manager whose cloud and guests cost nothing: it runs the operations it is told to, and notes every statement.

Run by the bench as `python -m tests.bench.one_task_manager` with its orders on standard input, a JSON object a line. What it
sends to guests it writes to the file descriptor `guests`, a JSON object a line.
"""

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from tests.support.world import MemoryAdmission, RecordedAnnouncer

from trove.cloud.memory import MemoryCloud
from trove.core.json import JSON
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors, Settings
from trove.store.session import Database
from trove.store.vault import Vault
from trove.taskmanager.runner import Runner
from trove.workflow.locks import Locks

WORKERS = 16

Statement = tuple[str, Any, bool]
"""The text, its parameters, and whether these are a list of rows to execute it for."""


@dataclass(slots=True)
class Transaction:
    """What one transaction executed, and whether it was committed."""

    statements: list[Statement] = field(default_factory=list)
    committed: bool = False


class Recorder:
    """Notes the transactions of each thread, in order."""

    def __init__(self, engine: Engine) -> None:
        self._guard = threading.Lock()
        self._threads: dict[int, list[Transaction]] = {}
        event.listen(engine, "before_cursor_execute", self._execute)
        event.listen(engine, "commit", lambda _connection: self._end(committed=True))
        event.listen(engine, "rollback", lambda _connection: self._end(committed=False))

    def take(self) -> list[list[Transaction]]:
        """Return what was noted since the last call, one list a thread, and begin anew."""
        with self._guard:
            taken, self._threads = self._threads, {}
        return [[each for each in thread if each.statements] for thread in taken.values()]

    def _execute(self, _connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, many: bool) -> None:
        plain = [_plain(each) for each in parameters] if many else _plain(parameters)
        self._mine()[-1].statements.append((text, plain, many))

    def _end(self, *, committed: bool) -> None:
        mine = self._mine()
        mine[-1].committed = committed
        mine.append(Transaction())

    def _mine(self) -> list[Transaction]:
        with self._guard:
            return self._threads.setdefault(threading.get_ident(), [Transaction()])


def _plain(parameters: Any) -> Any:
    """Return the parameters without views of memory, which SQLite's driver takes for bytes and pickle does not."""
    if isinstance(parameters, Mapping):
        return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in parameters.items()}
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in parameters)


class GuestPipe:
    """A bus that costs nothing: it tells another process which jobs guests shall report as done."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def cast(self, topic: str, method: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Hand the name of a job on. A line is written whole: it is shorter than what a pipe takes at once."""
        if method == "start_job":
            line = json.dumps({"topic": topic, "name": args["name"], "kind": args["kind"]})
            os.write(self._descriptor, line.encode() + b"\n")

    def call(self, *_: object, **__: object) -> JSON:
        """Refuse: operations only cast."""
        raise NotImplementedError

    serve = serve_batches = call

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Run what is ordered until standard input ends; answer each order with one line."""
    orders = json.loads(sys.stdin.readline())
    database = Database(orders["url"], vault=Vault.from_file(orders["key_file"]))
    recorder = Recorder(database.engine)
    doors = Doors(
        database=database,
        cloud=MemoryCloud(),
        bus=GuestPipe(orders["guests"]),  # type: ignore[arg-type]
        admission=MemoryAdmission(),
        objects=MemoryObjectStore(),
        announcer=RecordedAnnouncer(),
        settings=Settings(default_datastore="mariadb"),
    )
    locks = Locks(f"file://{orders['locks']}", "bench")
    runner = Runner(doors, locks=locks, owner="bench", workers=WORKERS)
    runner.start()
    try:
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(_run(runner, recorder, order["operations"], Path(order["transcript"]))), flush=True)
    finally:
        runner.stop(timeout_s=10)
        locks.close()
        database.close()


def _run(runner: Runner, recorder: Recorder, operation_ids: list[str], transcript: Path) -> dict[str, float]:
    recorder.take()
    began, spent = time.monotonic(), time.process_time()
    for operation_id in operation_ids:
        assert runner.offer(operation_id)
    while runner.in_hand():
        time.sleep(0.005)
    seconds, cpu_s = time.monotonic() - began, time.process_time() - spent
    threads = recorder.take()
    transcript.write_bytes(pickle.dumps([[(each.committed, each.statements) for each in thread] for thread in threads]))
    return {"seconds": seconds, "cpu_s": cpu_s}


if __name__ == "__main__":
    main()
