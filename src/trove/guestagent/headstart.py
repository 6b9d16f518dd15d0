"""Begins to prepare a new database server while the agent still loads its other half and finds its way to the bus.

The cloud may give a new server the first configuration with its other files. Nothing is reported of a head start: the job
`prepare` waits for it, does all of it again (each verb may run twice) and tells what went wrong, if anything did.
"""

import logging
import threading
from pathlib import Path

from trove.core.errors import TroveError
from trove.datastores.contract import Driver
from trove.guestagent.host import SandboxedHost
from trove.guestagent.ledger import Ledger, Prepared

LOG = logging.getLogger(__name__)

FIRST_CONFIG = "first.cnf"


class HeadStart:
    """Prepares the server in a thread when there is a first configuration in `folder` and no job has prepared it before."""

    def __init__(self, driver: Driver, host: SandboxedHost, folder: Path) -> None:
        self._driver = driver
        self._thread: threading.Thread | None = None
        path = folder / FIRST_CONFIG
        with host.keeps_to_itself():  # the files of the cloud are the agent's alone
            config = path.read_text() if path.is_file() else None
        if config is not None and Ledger(host).facts.prepared is Prepared.NO:
            self._thread = threading.Thread(target=self._run, args=(config,), name="head-start", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Return when it is over, or at once when there is none."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, config: str) -> None:
        try:
            self._driver.prepare(config=config, progress=lambda _step, _percent: None)
        except (TroveError, OSError) as error:
            LOG.info("the head start came to nothing: %s", error)
