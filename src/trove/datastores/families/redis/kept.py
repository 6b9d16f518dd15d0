"""A connection of the agent that stays open: a server keeps none back for its administrator, and tenants may take them all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trove.core.errors import TroveError, Unavailable
from trove.datastores.families.redis import resp

TIMEOUT_S = 12.0


class Kept:
    """Holds one connection to the server that runs as a process, and lends it to one thread at a time."""

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._pid = 0
        self._session: resp.Session | None = None

    def keep(self, pid: int, endpoint: resp.Endpoint) -> None:
        """See that there is one, and that it works; where none can be had now, there may be one the next time."""
        with self._turn:
            if self._session is not None and self._pid == pid:
                try:
                    self._session.run("PING")
                    return
                except TroveError:
                    pass  # the server ends those that are silent for long, if tenants want that
            self._drop()
            try:
                self._session, self._pid = resp.Session(endpoint, timeout_s=TIMEOUT_S), pid
            except TroveError:
                self._drop()

    @contextmanager
    def lent(self, pid: int, otherwise: Exception) -> Iterator[resp.Session]:
        """Lend the connection to this process; raises `otherwise` when there is none."""
        with self._turn:
            if self._session is None or self._pid != pid:
                raise otherwise
            try:
                yield self._session
            except Unavailable:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None
