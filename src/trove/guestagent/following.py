"""How a replica follows its source, for the heartbeat: asked now and then, however often that beats."""

import threading
import time
from collections.abc import Mapping
from typing import cast

from trove.core.errors import TroveError
from trove.core.json import JSON
from trove.core.replication import MAX_PROBLEM
from trove.datastores.contract import Facet, Replication
from trove.guestagent.engine import Engine

EVERY_S = 5.0


class Following:
    """Asks the driver at most every few seconds. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._offered = Facet.REPLICATION in engine.spec.facets
        self._lock = threading.Lock()
        self._known: Mapping[str, JSON] | None = None
        self._ask_after = 0.0

    def state(self) -> Mapping[str, JSON] | None:
        """Return the state as JSON; None for what is no replica, or does not answer."""
        if not self._offered:
            return None
        with self._lock:
            if time.monotonic() >= self._ask_after:
                self._known = self._ask()
                self._ask_after = time.monotonic() + EVERY_S
            return self._known

    def _ask(self) -> Mapping[str, JSON] | None:
        if self._engine.host.server_pid() is None:
            return None
        try:
            state = cast("Replication", self._engine.driver).replica_state()
        except TroveError:
            return None
        if state is None:
            return None
        told = state.to_json()
        if state.problem is not None:
            # What is reported is plain text: the engine's words may have anything in them.
            told["problem"] = "".join(letter if letter.isprintable() else " " for letter in state.problem)[:MAX_PROBLEM]
        return told
