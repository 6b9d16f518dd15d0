"""The two jobs of an upgrade, over the driver's facet: look whether it can be done, then do it."""

import threading
from collections.abc import Mapping
from typing import cast

from trove.core.errors import Unsupported
from trove.core.json import JSON
from trove.datastores.contract import Facet, Upgrades
from trove.guestagent import arguments
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.ledger import Ledger


class Upgrading:
    """Does the verbs. `turn` is held meanwhile, so that nobody else starts or stops the server."""

    def __init__(self, engine: Engine, ledger: Ledger, turn: threading.RLock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._turn = turn

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {"pre_upgrade": self.pre_upgrade, "upgrade": self.upgrade}

    def pre_upgrade(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Look whether the upgrade can be done, and change nothing."""
        progress("checking what the upgrade needs", 10)
        self._facet().check_upgrade(arguments.text(args, "version"))
        return {}

    def upgrade(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Replace the server by the wanted version, with its configuration, and bring its data up to it."""
        version, config = arguments.text(args, "version"), arguments.text(args, "config")
        with self._turn:
            self._ledger.update(wanted=True)
            self._facet().upgrade(version, config=config, progress=progress)
        return {"version": self._engine.driver.version()}

    def _facet(self) -> Upgrades:
        if Facet.UPGRADES not in self._engine.spec.facets:
            raise Unsupported(f"{self._engine.spec.title} has no {Facet.UPGRADES.value}.")
        return cast("Upgrades", self._engine.driver)
