"""The cloud's flavors, asked for once a minute rather than with every request."""

import threading
import time
from collections.abc import Sequence

from trove.cloud.contract import Cloud
from trove.core.errors import NotFound
from trove.core.flavors import Flavor

FRESH_S = 60.0


class FlavorList:
    """Thread-safe."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._flavors: tuple[Flavor, ...] = ()
        self._until = 0.0

    def all(self) -> Sequence[Flavor]:
        """Return all flavors, at most a minute old."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._flavors = tuple(self._cloud.flavors())
                self._until = time.monotonic() + FRESH_S
            return self._flavors

    def one(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        for flavor in self.all():
            if flavor.id == flavor_id:
                return flavor
        raise NotFound(f"Flavor {flavor_id[:100]} not found.")
