"""A task manager that kills itself with SIGKILL at a chosen point: `… <place> <moment> <nth> <options of trove-taskmanager>`.

`place` is a task with the moments of `trove.workflow.engine.Probe`, or `commit`, `after` the nth of those that run
operations.
"""

import functools
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from trove.cmd import taskmanager
from trove.store.session import Database, Tx
from trove.taskmanager import runner
from trove.workflow.crash import Point


def main() -> int:
    """Be a task manager until the point is passed."""
    place, moment, nth, *options = sys.argv[1:]
    passed: Counter[Point] = Counter()

    def reach(*at: str) -> None:
        point = Point(*at)
        passed[point] += 1
        if point == Point(place, moment) and passed[point] == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    transaction = Database.transaction

    @contextmanager
    def deadly(database: Database) -> Iterator[Tx]:
        with transaction(database) as tx:
            yield tx
        if threading.current_thread().name.startswith("runner-"):
            reach("commit", "after")

    Database.transaction = deadly  # type: ignore[method-assign, assignment]
    runner.Runner = functools.partial(runner.Runner, probe=reach)  # type: ignore[misc, assignment]
    return taskmanager.main(options)


if __name__ == "__main__":
    sys.exit(main())
