"""trove-conductor: stores what guest agents report, many reports in one transaction."""

import sys
from collections.abc import Sequence
from typing import Any

from trove.cmd import logs
from trove.cmd.service import Signals, run, say_ready, until_there

SERVICE = "trove-conductor"
DESCRIPTION = """Store the heartbeats and reports of guest agents in the state database. Any number of conductors may run.
Nothing is acknowledged before it is stored. SIGTERM: the batch in hand is stored first. SIGHUP: logging is configured again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    return run(SERVICE, DESCRIPTION, _serve, argv)


def _serve(conf: Any, signals: Signals, began: float) -> None:
    from trove.bus.contract import CONDUCTOR_TOPIC
    from trove.cmd import wiring
    from trove.conductor.manager import Manager

    base = wiring.foundation(conf)
    until_there("The state database", lambda: wiring.probe_database(base.database), signals)
    bus = until_there("The bus", lambda: wiring.bus(base, SERVICE), signals)
    manager = Manager(base.database)
    options = conf.conductor
    try:
        subscription = until_there(
            "The bus",
            lambda: bus.serve_batches(CONDUCTOR_TOPIC, manager, max_batch=options.max_batch, max_wait_s=options.max_wait),
            signals,
        )
        say_ready(SERVICE, began, f"batches of up to {options.max_batch} reports", signals)
        signals.run(reread=lambda: logs.reread(conf))
        subscription.stop()
    finally:
        bus.close()
        base.close()


if __name__ == "__main__":
    sys.exit(main())
