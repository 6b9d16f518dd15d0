"""The jobs of an upgrade, over the driver's facet: look whether it can be done, do it, and take it back or be done with it."""

import threading
from collections.abc import Mapping
from typing import cast

from trove.core.errors import Unsupported
from trove.core.json import JSON
from trove.datastores.contract import Facet, Upgrades
from trove.guestagent import arguments
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.ledger import Ledger, Prepared

MARKER = ".trove-upgraded"
"""On the volume, which outlasts the machine: which upgrade has let tenants in, so that nobody takes it back after that."""


class Upgrading:
    """Does the verbs. `turn` is held meanwhile, so that nobody else starts or stops the server."""

    def __init__(self, engine: Engine, ledger: Ledger, turn: threading.RLock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._turn = turn
        self._marker = engine.host.data_dir / MARKER

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {
            "pre_upgrade": self.pre_upgrade,
            "upgrade": self.upgrade,
            "revert_upgrade": self.revert_upgrade,
            "finish_upgrade": self.finish_upgrade,
        }

    def pre_upgrade(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Look whether the upgrade can be done, and change nothing."""
        progress("checking what the upgrade needs", 10)
        self._facet().check_upgrade(arguments.text(args, "version"))
        return {}

    def upgrade(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Start this version of the server with its configuration, on data of the old one. `upgrade` names the upgrade."""
        version, config = arguments.text(args, "version"), arguments.text(args, "config")
        token, host = arguments.text(args, "upgrade"), self._engine.host
        with self._turn:
            self._facet().upgrade(version, config=config, progress=progress)
            # Before anybody is let in: what is written from then on must not be taken back, whoever dies next.
            host.write_file(self._marker, token.encode())
            host.sync_tree(host.data_dir)
            progress("letting tenants in", 90)
            self._engine.driver.start()
            self._ledger.update(prepared=Prepared.YES, wanted=True)
        return {"version": self._engine.driver.version()}

    def revert_upgrade(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Bring the data back to what they were, unless that `upgrade` has let tenants in; `reverted` tells which."""
        token, host = arguments.text(args, "upgrade"), self._engine.host
        with self._turn:
            if host.read_file(self._marker) == token.encode():
                return {"reverted": False}
            progress("bringing the data back", 10)
            self._facet().revert_upgrade()
            host.sync_tree(host.data_dir)
        return {"reverted": True}

    def finish_upgrade(self, _args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Remove what was kept for the way back."""
        progress("removing what was kept of the old version", 10)
        with self._turn:
            self._facet().finish_upgrade()
            self._marker.unlink(missing_ok=True)
        return {}

    def _facet(self) -> Upgrades:
        if Facet.UPGRADES not in self._engine.spec.facets:
            raise Unsupported(f"{self._engine.spec.title} has no {Facet.UPGRADES.value}.")
        return cast("Upgrades", self._engine.driver)
