"""Requests per minute, by project and user and method (contract 1.5), shared by all API processes that share the counters.

Counters that cannot be reached let requests pass: a limit is a protection, and must not be what takes the service down.
"""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trove.api import faults
from trove.api.filters.faultwrapper import send
from trove.api.filters.identity import CALLER
from trove.api.filters.rate_file import RateFile
from trove.api.filters.rate_service import RateService, UnusableStorageError
from trove.api.filters.rate_windows import Window, WindowStore
from trove.api.filters.wsgi import App, Environ, Filter, StartResponse
from trove.api.settings import installed
from trove.core.callers import Caller

LOG = logging.getLogger(__name__)

RATE_STATE = "trove.rates"
MGMT_POST = "MGMT_POST"
"""The key of the rate of POST below `/{project}/mgmt/`, which count there alone."""

RETRY_AFTER_FAILURE_S = 5.0
REMIND_EVERY_S = 60.0

_OWN = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """One rate as it stands for one caller. `wait_s` is 0 when a request may come now."""

    bucket: str
    limit: int
    remaining: int
    wait_s: float


class Rates:
    """The configured rates and their counters. Thread-safe. `open_store` may raise anything, and runs again later then."""

    def __init__(self, limits: Mapping[str, int], open_store: Callable[[], WindowStore]) -> None:
        self.limits = {bucket: limit for bucket, limit in limits.items() if limit > 0}
        self._open = open_store
        self._lock = threading.Lock()
        self._store: WindowStore | None = None
        self._away_until = 0.0
        self._remind_at = 0.0
        self._failing = False

    def take(self, caller: Caller, bucket: str) -> float:
        """Count one request; return 0, or the seconds until one is allowed again when this one is not."""
        limit = self.limits.get(bucket)
        store = self._reach() if limit is not None else None
        if limit is None or store is None:
            return 0.0
        key = _key(caller, bucket)
        try:
            wait = 0.0 if store.take(key, limit) else max(store.look(key).wait_s(limit), 1.0)
        except Exception as error:
            self._failed(error)
            return 0.0
        if self._failing:
            self._recovered()
        return wait

    def rows(self, caller: Caller) -> list[RateRow]:
        """Return what each rate has left for this caller; the whole rate when the counters cannot be reached."""
        rows = []
        for bucket, limit in self.limits.items():
            window = self._window(_key(caller, bucket))
            rows.append(RateRow(bucket=bucket, limit=limit, remaining=window.remaining(limit), wait_s=window.wait_s(limit)))
        return rows

    def close(self) -> None:
        """Let go of the counters."""
        if self._store is not None:
            self._store.close()

    def _window(self, key: str) -> Window:
        store = self._reach()
        if store is not None:
            try:
                return store.look(key)
            except Exception as error:
                self._failed(error)
        return Window()

    def _reach(self) -> WindowStore | None:
        """Return the counters, None while they are taken to be away."""
        if self._away_until and time.monotonic() < self._away_until:
            return None
        if self._store is None:
            with self._lock:
                try:
                    self._store = self._store or self._open()
                except Exception as error:
                    self._failed(error)
        return self._store

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_until = now + RETRY_AFTER_FAILURE_S
        self._failing = True
        if now >= self._remind_at:
            self._remind_at = now + REMIND_EVERY_S
            # Not a library's words: they might hold the URL with its password.
            detail = str(error) if isinstance(error, UnusableStorageError) else getattr(error, "strerror", "")
            LOG.error(
                "RATE LIMITS ARE NOT ENFORCED: rate_limit_storage cannot be used (%s%s); "
                "requests pass uncounted, next try in %g s",
                type(error).__name__,
                f": {detail}" if detail else "",
                RETRY_AFTER_FAILURE_S,
            )

    def _recovered(self) -> None:
        self._failing, self._away_until, self._remind_at = False, 0.0, 0.0
        LOG.warning("Rate limits are enforced again")


def _key(caller: Caller, bucket: str) -> str:
    """Return the name of a counter. A digest: ids from outside go to no foreign server, and memcached allows few letters."""
    text = f"{caller.project_id}\n{caller.user_id}\n{bucket}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def bucket_of(method: str, path: str) -> str:
    """Return the rate that a request counts under. HEAD counts as GET, and so does any method that no route has."""
    if method == "POST" and path.lstrip("/").partition("/")[2].startswith("mgmt/"):
        return MGMT_POST
    return method if method in _OWN else "GET"


def opener(url: str) -> Callable[[], WindowStore]:
    """Return what opens the counters at `file:///path`, in `memory:` of this process, or at a URL that `limits` knows."""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return RateFile
    return (lambda: RateFile(Path(parts.path))) if parts.scheme == "file" else (lambda: RateService(url))


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `ratelimit`, with the rates of the API's settings; without rates it is not there."""
    settings = installed().settings
    rates = Rates(settings.rates, opener(settings.rate_storage))

    def bound(app: App) -> App:
        return wrap(app, rates) if rates.limits else app

    return bound


def wrap(app: App, rates: Rates) -> App:
    """Return `app` behind the rates; `GET /limits` reads them from the environment."""

    def ratelimit(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        bucket = bucket_of(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
        wait = rates.take(environ[CALLER], bucket)
        if wait > 0:
            what = "POST requests to the management API" if bucket == MGMT_POST else f"{bucket} requests"
            message = f"Only {rates.limits[bucket]} {what} a minute are allowed to one user of a project."
            return send(start_response, faults.over_rate(math.ceil(wait), message=message, details=f"{bucket} * rate"))
        environ[RATE_STATE] = rates
        return app(environ, start_response)

    return ratelimit
