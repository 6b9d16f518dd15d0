"""Tenants at work while something is done to their server: what was acknowledged is written down, to be looked for later."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Self

from tests.support.dialects import Denied, Gone, LoginRefused, ReadOnly, Session
from tests.support.guests import wait_for

Connect = Callable[[], Session]
"""Logs in where the writes go at the moment."""

_REFUSALS = (LoginRefused, ReadOnly, Denied, Gone)


class Work:
    """A thread that does something again and again, and logs in anew when its server is away or takes no writes."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.done = 0
        """How many times it was acknowledged."""
        self.refusals: set[type[Exception]] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None

    def step(self, session: Session) -> None:
        """Do it once."""
        raise NotImplementedError

    def acknowledged(self) -> None:
        """Called after each step that was acknowledged."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; fails when it ended by itself. May be called twice."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def await_more(self, steps: int = 20) -> None:
        """Wait until so many more steps have been acknowledged."""
        wanted = self.done + steps
        wait_for(lambda: self.done >= wanted or not self._thread.is_alive(), "more acknowledged writes", 120)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    with closing(self.connect()) as session:
                        while not self._ended.is_set():
                            self.step(session)
                            self.done += 1
                            self.acknowledged()
                except _REFUSALS as error:
                    self.refusals.add(type(error))
                    time.sleep(0.02)
        except BaseException as error:
            self._failure = error


class Writes(Work):
    """Puts new keys. `keys` are those that were acknowledged."""

    def __init__(self, connect: Connect, name: str = "w") -> None:
        super().__init__(connect)
        self.name = name
        self.keys: list[str] = []
        self._number = 0
        self._key = ""

    def step(self, session: Session) -> None:
        self._number += 1
        self._key = f"{self.name}{self._number:08}"
        session.put(self._key, self._key)

    def acknowledged(self) -> None:
        self.keys.append(self._key)

    def lost(self, session: Session) -> set[str]:
        """Return what was acknowledged and is not there."""
        return set(self.keys) - session.keys()


class Bank(Work):
    """Moves money between accounts. Its sum is the same at every moment."""

    ACCOUNTS, BALANCE = 10, 1000
    TOTAL = ACCOUNTS * BALANCE

    def step(self, session: Session) -> None:
        session.transfer(self.done % self.ACCOUNTS, (self.done * 7 + 3) % self.ACCOUNTS, 1 + self.done % 5)
