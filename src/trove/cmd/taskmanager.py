"""trove-taskmanager: runs operations, and resumes those that another one left behind."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trove.cmd import logs
from trove.cmd.service import Signals, run, say_ready, until_there

SERVICE = "trove-taskmanager"
DESCRIPTION = """Run Trove's operations (create, delete, restart …). Any number of task managers may run, on any number of
machines, as long as they share the state database and lock_url. SIGTERM: steps that run end, waiting ones are left to be
resumed. SIGHUP: logging is configured again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    return run(SERVICE, DESCRIPTION, _serve, argv)


def _serve(conf: Any, signals: Signals, began: float) -> None:
    from trove.bus.contract import TASKMANAGER_TOPIC
    from trove.cmd import wiring
    from trove.taskmanager.manager import Manager
    from trove.taskmanager.periodic import Periodic
    from trove.taskmanager.runner import Runner
    from trove.workflow.locks import Locks

    base = wiring.foundation(conf)
    until_there("The state database", lambda: wiring.probe_database(base.database), signals)
    bus = until_there("The bus", lambda: wiring.bus(base, SERVICE), signals)
    member = wiring.member(conf, SERVICE)
    _make_lock_directory(conf.taskmanager.lock_url)
    locks = until_there("The lock service", lambda: Locks(conf.taskmanager.lock_url, member), signals)
    doors = wiring.doors(base, bus)
    runner = Runner(doors, locks=locks, owner=member, workers=conf.taskmanager.workers)
    periodic = Periodic(
        base.database,
        runner,
        admission=doors.admission,
        interval_s=conf.taskmanager.sweep_interval,
        keep_finished_days=conf.taskmanager.keep_finished_days,
    )
    runner.start()
    periodic.start()
    try:
        subscription = until_there("The bus", lambda: bus.serve(TASKMANAGER_TOPIC, Manager(runner), workers=2), signals)
        say_ready(SERVICE, began, f"{conf.taskmanager.workers} operations at a time")
        signals.run(reread=lambda: logs.reread(conf))
        subscription.stop()
    finally:
        periodic.stop()
        runner.stop(timeout_s=conf.taskmanager.stop_timeout)
        locks.close()
        bus.close()
        base.close()


def _make_lock_directory(url: str) -> None:
    if url.startswith("file://"):
        Path(url.removeprefix("file://")).mkdir(parents=True, exist_ok=True, mode=0o700)


if __name__ == "__main__":
    sys.exit(main())
