"""Which services of a stack hang: by what they tell, as they tell systemd, and by asking the bus, which tells nothing."""

import time
from dataclasses import dataclass
from pathlib import Path

from trove.cmd.local import processes, services
from trove.cmd.local.processes import Identity
from trove.cmd.local.services import Service
from trove.cmd.notify import ALIVE, READY, START_ALLOWANCE_S, STOPPING, TOLD_PER_LIMIT, Listener

STOPPED_GRACE_S = 5.0
"""How long a service may stand still by SIGSTOP: that is seen at once, its silence only later."""

OWN_PAUSE_S = 5.0


@dataclass(slots=True, kw_only=True)
class _Signs:
    """What is known of one process; times are monotonic. Its silence counts in full while it says that it is at work."""

    heard: float
    asked: float = 0.0
    at_work: bool = False
    still_since: float | None = None


class Watchdog:
    """Judges which services hang. One thread."""

    def __init__(self, path: Path) -> None:
        self._listener = Listener(path)
        self._signs: dict[Identity, _Signs] = {}
        self._listened = time.monotonic()

    def fileno(self) -> int:
        """Return what to poll."""
        return self._listener.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._listener.close()

    def begin(self, identity: Identity) -> None:
        """Watch a process from now on."""
        self._signs[identity] = _Signs(heard=time.monotonic())

    def end(self, identity: Identity) -> None:
        """Forget a process."""
        self._signs.pop(identity, None)

    def listen(self) -> None:
        """Take in what services told; to be called every second or so."""
        now = time.monotonic()
        if now - self._listened > OWN_PAUSE_S:
            # It was the supervisor that stood still, and what was told meanwhile may be lost.
            for signs in self._signs.values():
                signs.heard, signs.still_since = now, None
        self._listened = now
        told = {identity.pid: signs for identity, signs in self._signs.items()}
        for pid, words in self._listener.heard():
            if pid in told:
                told[pid].heard = now
                told[pid].at_work = not words.isdisjoint({READY, ALIVE}) or (told[pid].at_work and STOPPING not in words)

    def complaint(self, service: Service, identity: Identity) -> str | None:
        """Return in words why a service must be taken to hang, None when all is well or nobody wants to know."""
        signs, limit_s = self._signs.get(identity), service.watchdog_s
        if signs is None or limit_s is None:
            return None
        now = time.monotonic()
        if not processes.is_stopped(identity):
            signs.still_since = None
        elif signs.still_since is None:
            signs.still_since = now
        elif now - signs.still_since >= min(limit_s, STOPPED_GRACE_S):
            return f"was stopped by a signal {now - signs.still_since:.0f} s ago"
        if service.socket is not None and now - signs.asked >= limit_s / TOLD_PER_LIMIT:
            signs.asked = now
            if services.is_alive(service.socket):
                signs.heard, signs.at_work = now, True
        silent_s = now - signs.heard
        return (
            f"gave no sign of life for {silent_s:.0f} s"
            if silent_s > (limit_s if signs.at_work else START_ALLOWANCE_S)
            else None
        )
