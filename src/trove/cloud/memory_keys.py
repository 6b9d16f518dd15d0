"""A key manager that lives in memory: the whole contract for tests of what is built on it."""

import threading
from collections.abc import Mapping
from uuid import uuid4

from trove.cloud.contract import MOST_SECRET_BYTES, KeyToken
from trove.core.errors import InvalidInput, TroveError

URL = "http://keys.memory/v1"


class MemoryKeys:
    """Secrets of projects. A token is the name of the project that shows it. Thread-safe.

    `consumers` lists who uses what, `fault` is what every call shall suffer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, Mapping[str, bytes]]] = {}
        self.consumers: set[tuple[str, str]] = set()
        self.fault: TroveError | None = None

    def store(self, project: str, payload: bytes) -> str:
        """Keep a secret; return its reference."""
        return self._put(project, "secrets", {"payload": payload})

    def store_container(self, project: str, parts: Mapping[str, bytes]) -> str:
        """Keep a container of a certificate; return its reference."""
        return self._put(project, "containers", parts)

    def read(self, token: KeyToken, ref: str, *, field: str) -> Mapping[str, bytes]:
        """Return what a reference leads to."""
        with self._lock:
            parts = self._parts(token, ref, field)
        for part in parts.values():
            if len(part) > MOST_SECRET_BYTES:
                raise InvalidInput(f"{field}: a secret may be {MOST_SECRET_BYTES} bytes long, no more.")
        return parts

    def add_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Note that an instance uses it."""
        with self._lock:
            self._parts(token, ref, "container_ref")
            self.consumers.add((ref, instance_id))

    def remove_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Take that note away."""
        with self._lock:
            if self.fault is not None:
                raise self.fault
            if ref in self._held:
                self._parts(token, ref, "container_ref")
            self.consumers.discard((ref, instance_id))

    def _put(self, project: str, kind: str, parts: Mapping[str, bytes]) -> str:
        ref = f"{URL}/{kind}/{uuid4()}"
        with self._lock:
            self._held[ref] = project, dict(parts)
        return ref

    def _parts(self, token: KeyToken, ref: str, field: str) -> Mapping[str, bytes]:
        if self.fault is not None:
            raise self.fault
        if not ref.startswith(f"{URL}/"):
            raise InvalidInput(f"{field}: is no secret of the key manager at {URL}.")
        owner, parts = self._held.get(ref, ("", {}))
        if owner != token.token:
            raise InvalidInput(f"{field}: the key manager has no such secret, or it is not yours to read.")
        return parts
