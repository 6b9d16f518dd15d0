"""Does a verb once more whose database server went away in the middle: it was killed, or ran out of memory."""

import logging
import threading
import time
from collections.abc import Mapping

from trove.core.errors import Unavailable
from trove.core.json import JSON
from trove.core.status import ServiceStatus
from trove.guestagent import liveness
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.ledger import Ledger, Prepared

LOG = logging.getLogger(__name__)

ATTEMPTS = 3
RECOVERS_WITHIN_S = 60.0
BACKUP = "backup"
_LOOK_EVERY_S = 0.2


class Patient:
    """Wraps verbs, each of which may run twice. While one runs nobody else brings the server back, so that is done here."""

    def __init__(self, engine: Engine, ledger: Ledger, turn: threading.RLock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._turn = turn

    def kinds(self, kinds: Mapping[str, Work]) -> Mapping[str, Work]:
        """Return these verbs, done again when they find the server gone. A backup is not: its half is of no use."""
        return {name: work if name == BACKUP else self._patiently(name, work) for name, work in kinds.items()}

    def _patiently(self, name: str, work: Work) -> Work:
        def again(args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
            for _ in range(ATTEMPTS - 1):
                try:
                    return work(args, progress)
                except Unavailable as error:
                    LOG.warning("%s found no database server, and is done again: %s", name, error)
                    self._bring_back()
            return work(args, progress)

        return again

    def _bring_back(self) -> None:
        """Have the server run again, if it is to run, and wait until it has recovered."""
        facts = self._ledger.facts
        if not facts.wanted or facts.prepared is not Prepared.YES:
            return  # the verb starts it itself
        driver = self._engine.driver
        with self._turn:
            driver.start()
        until = time.monotonic() + RECOVERS_WITHIN_S
        while driver.probe() is not ServiceStatus.HEALTHY and time.monotonic() < until:
            liveness.need()
            time.sleep(_LOOK_EVERY_S)
