"""How requests of a minute are counted: a sliding window made of two counters, and the door to where these are kept.

The requests of the minute before count by the part of it that still lies within sixty seconds. It costs two numbers a key, and
lets no one send twice the rate around the turn of a minute.
"""

from dataclasses import dataclass
from typing import Protocol

PERIOD_S = 60.0
_MARGIN_S = 0.01
"""So that the wait ends after the moment at which the sum falls below the limit, not at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Counts of the last full minute and of the current one, and how many seconds are left until each stops counting so."""

    previous: int = 0
    previous_left_s: float = 0.0
    current: int = 0
    current_left_s: float = 0.0

    @property
    def used(self) -> int:
        """Return the requests that count now."""
        return int(self.previous * self.previous_left_s / PERIOD_S) + self.current

    def remaining(self, limit: int) -> int:
        """Return how many more may come now."""
        return max(0, limit - self.used)

    def wait_s(self, limit: int) -> float:
        """Return the seconds until one more is allowed, 0 when it is now."""
        if self.used < limit:
            return 0.0
        if self.current < limit:
            return self.previous_left_s - (limit - self.current) * PERIOD_S / self.previous + _MARGIN_S
        # The current minute must end first; then it weighs less with every second.
        return self.current_left_s + PERIOD_S - limit * PERIOD_S / self.current + _MARGIN_S


class WindowStore(Protocol):
    """Where the counters are. Any exception means that they cannot be reached now."""

    def take(self, key: str, limit: int) -> bool:
        """Count one request of `key` if fewer than `limit` count now; return whether it was."""

    def look(self, key: str) -> Window:
        """Return the counters of `key`."""

    def close(self) -> None:
        """Let go of them."""
