"""trove-taskmanager: runs operations, and resumes those that another one left behind."""

import sys
from collections.abc import Sequence
from typing import Any

from trove.cmd import logs
from trove.cmd.service import Signals, run, say_ready, until_there

SERVICE = "trove-taskmanager"
DESCRIPTION = """Run Trove's operations (create, delete, restart …). Any number of task managers may run, on any number of
machines, as long as they share the state database and lock_url. SIGTERM: steps that run end, waiting ones are left to be
resumed. SIGHUP: logging is configured again."""

RELAY_STOP_S = 5.0
"""Seconds publishing in hand gets to end. It may wait for a broker that is away."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    return run(SERVICE, DESCRIPTION, _serve, argv)


def _serve(conf: Any, signals: Signals, began: float) -> None:
    from trove.bus.contract import TASKMANAGER_TOPIC
    from trove.cmd import notifications, wiring
    from trove.taskmanager.keeper import Policy
    from trove.taskmanager.manager import Manager
    from trove.taskmanager.periodic import Periodic
    from trove.taskmanager.reconciler import Reconciler
    from trove.taskmanager.relay import Relay
    from trove.taskmanager.reports import Reports
    from trove.taskmanager.runner import Runner
    from trove.workflow.locks import Locks

    base = wiring.foundation(conf, SERVICE)
    until_there("The state database", lambda: wiring.probe_database(base.database), signals)
    bus = until_there("The bus", lambda: wiring.bus(base, SERVICE), signals)
    member = wiring.member(conf, SERVICE)
    locks = until_there("The lock service", lambda: Locks(conf.taskmanager.lock_url, member), signals)
    doors = wiring.doors(base, bus)
    transport = notifications.transport(conf)
    policy = Policy(
        lease_s=conf.taskmanager.lease,
        hang_grace_s=conf.taskmanager.hang_grace,
        max_attempts=conf.taskmanager.max_attempts,
    )
    runner = Runner(doors, locks=locks, owner=member, workers=conf.taskmanager.workers, policy=policy)
    periodic = Periodic(
        base.database,
        runner,
        admission=doors.admission,
        interval_s=conf.taskmanager.sweep_interval,
        keep_finished_days=conf.taskmanager.keep_finished_days,
    )
    reconciler = Reconciler(
        doors,
        locks=locks,
        offer=runner.offer,
        settings=wiring.reconcile_settings(conf),
        interval_s=conf.reconciler.interval,
    )
    reports = Reports(doors, notifications.report_settings(conf))
    relay = None if transport is None else Relay(doors, transport, locks=locks)
    runner.start()
    periodic.start()
    reconciler.start()
    reports.start()
    if relay is not None:
        relay.start()
    try:
        subscription = until_there("The bus", lambda: bus.serve(TASKMANAGER_TOPIC, Manager(runner), workers=2), signals)
        say_ready(SERVICE, began, f"{conf.taskmanager.workers} operations at a time", signals)
        signals.run(reread=lambda: logs.reread(conf))
        subscription.stop()
    finally:
        if relay is not None:
            relay.stop(timeout_s=RELAY_STOP_S)
        reports.stop(timeout_s=conf.taskmanager.stop_timeout)
        reconciler.stop(timeout_s=conf.taskmanager.stop_timeout)
        periodic.stop()
        runner.stop(timeout_s=conf.taskmanager.stop_timeout)
        locks.close()
        bus.close()
        base.close()


if __name__ == "__main__":
    sys.exit(main())
