"""Counters of requests in Redis, Valkey or memcached, for API processes on several hosts: by the library `limits`."""

import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from trove.api.filters.rate_windows import PERIOD_S, Window

TIMEOUT_S = 0.3
"""For connecting and for each answer: every request waits for it, and passes uncounted when it comes to nothing."""

PREFIX = "trove-rates"
_PERIOD = int(PERIOD_S)


class UnusableStorageError(Exception):
    """The URL names no storage that can be used here. The message holds no secret."""


class RateService:
    """The counters behind a URL such as `rediss://:password@host:6379/0` or `memcached://host:11211`. Thread-safe.

    Raises `UnusableStorageError` when a library is missing or the URL is wrong.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition(":")[0]
        self._lock = threading.Lock()
        self._memcached: Any = None
        try:
            self._storage: Any = import_module("limits.storage").storage_from_string(url, **self._options(scheme))
        except ImportError as error:
            raise UnusableStorageError(f"{scheme} needs the Python package {error.name or 'limits'}") from error
        except Exception:
            # The library's own words would hold the URL, and so its password.
            raise UnusableStorageError(f"the library `limits` cannot use this {scheme} URL here") from None

    def close(self) -> None:
        """Close its connections."""
        (self._memcached or self._storage.storage).close()

    def take(self, key: str, limit: int) -> bool:
        """Count one request of `key` if fewer than `limit` count now; return whether it was."""
        return bool(self._storage.acquire_sliding_window_entry(f"{PREFIX}/{key}", limit, _PERIOD))

    def look(self, key: str) -> Window:
        """Return the counters of `key`."""
        previous, previous_left_s, current, current_left_s = self._storage.get_sliding_window(f"{PREFIX}/{key}", _PERIOD)
        # The library says when the current counter is forgotten, which is a minute after it has become the previous one.
        left_s = max(0.0, current_left_s - PERIOD_S)
        return Window(previous=previous, previous_left_s=max(0.0, previous_left_s), current=current, current_left_s=left_s)

    def _options(self, scheme: str) -> dict[str, Any]:
        if scheme == "memcached":
            return {"timeout": TIMEOUT_S, "connect_timeout": TIMEOUT_S, "client_getter": self._client}
        if not scheme.startswith("redis"):
            return {}
        retry: Any = import_module("redis.retry")
        backoff: Any = import_module("redis.backoff")
        never = retry.Retry(backoff.NoBackoff(), 0)  # else the client would try for seconds, in the middle of a request
        return {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": never}

    def _client(self, library: Any, hosts: Sequence[Any], **options: Any) -> Any:
        """Return the one client of all threads; the library would make one for each, and never close it."""
        with self._lock:
            if self._memcached is None:
                several = len(hosts) > 1
                self._memcached = (
                    library.HashClient(hosts, use_pooling=True, **options)
                    if several
                    else library.PooledClient(*hosts, **options)
                )
            return self._memcached
