"""TLS with a certificate of the tenant's, over the driver's facet. What a server serves with is the driver's to keep."""

import threading
from collections.abc import Callable, Mapping
from typing import cast

from trove.core.errors import Unsupported
from trove.core.json import JSON
from trove.core.tls import Tls
from trove.datastores.contract import Facet, TlsServing
from trove.guestagent import arguments
from trove.guestagent.engine import Engine


class GuestTls:
    """Thread-safe. `turn` is held while the server is started or stopped, so that nothing changes under it."""

    def __init__(self, engine: Engine, turn: threading.RLock) -> None:
        self._engine = engine
        self._turn = turn

    def methods(self) -> Mapping[str, Callable[[Mapping[str, JSON]], JSON]]:
        """Return what may be called."""
        return {"ssl_action": self.act}

    def act(self, args: Mapping[str, JSON]) -> JSON:
        """Serve with another certificate or mode, or as the server does by itself; tell whether that waits for its next start.

        When the driver refuses it, all stays as it was. May run twice, also after an agent died in its middle.
        """
        wanted = None if args.get("tls") is None else Tls.from_json(arguments.mapping(args, "tls"))
        spec = self._engine.spec
        if Facet.TLS not in spec.facets:
            raise Unsupported(f"{spec.title} has no {Facet.TLS.value}.")
        with self._turn:
            return {"restart_required": cast("TlsServing", self._engine.driver).apply_tls(wanted)}
