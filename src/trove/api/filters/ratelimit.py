"""Requests per minute, project and method (contract 1.5): a bucket in the memory of each process."""

import math
import threading
import time
from collections.abc import Iterable, Mapping

from trove.api import faults
from trove.api.filters.faultwrapper import send
from trove.api.filters.identity import CALLER
from trove.api.filters.wsgi import App, Environ, Filter, StartResponse
from trove.api.settings import installed

MAX_BUCKETS = 10_000
RATE_STATE = "trove.rates"


class Buckets:
    """Buckets that hold a minute's requests and refill steadily. Thread-safe, bounded."""

    def __init__(self, rates: Mapping[str, int]) -> None:
        self.rates = {method: rate for method, rate in rates.items() if rate > 0}
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, project_id: str, method: str) -> float:
        """Take one request; return 0, or the seconds until one is there when the bucket is empty."""
        rate = self.rates.get(method)
        if rate is None:
            return 0.0
        with self._lock:
            level = self._level(project_id, method, rate)
            wait = 0.0 if level >= 1 else (1 - level) * 60 / rate
            self._levels[project_id, method] = (level - 1 if level >= 1 else level, time.monotonic())
            while len(self._levels) > MAX_BUCKETS:
                del self._levels[next(iter(self._levels))]
        return wait

    def remaining(self, project_id: str, method: str) -> int:
        """Return how many requests of this method the project may send at once now."""
        with self._lock:
            return int(self._level(project_id, method, self.rates[method]))

    def _level(self, project_id: str, method: str, rate: int) -> float:
        level, at = self._levels.pop((project_id, method), (float(rate), 0.0))
        level = min(float(rate), level + (time.monotonic() - at) * rate / 60)
        self._levels[project_id, method] = (level, time.monotonic())
        return level


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `ratelimit`, with the rates of the API's settings; without rates it is not there."""
    buckets = Buckets(installed().settings.rates)

    def bound(app: App) -> App:
        return wrap(app, buckets) if buckets.rates else app

    return bound


def wrap(app: App, buckets: Buckets) -> App:
    """Return `app` behind the buckets; `GET /limits` reads them from the environment."""

    def ratelimit(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        project, method = environ[CALLER].project_id, environ["REQUEST_METHOD"]
        wait = buckets.take(project, method)
        if wait > 0:
            message = f"Only {buckets.rates[method]} {method} requests a minute are allowed."
            return send(start_response, faults.over_rate(math.ceil(wait), message=message, details=f"{method} * rate"))
        environ[RATE_STATE] = buckets
        return app(environ, start_response)

    return ratelimit
