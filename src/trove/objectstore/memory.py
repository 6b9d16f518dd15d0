"""An object store in memory, for unit tests and as the model that the others are compared with."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trove.core.errors import NotFound
from trove.objectstore.contract import ObjectInfo
from trove.objectstore.names import check_container, check_name

_CHUNK = 64 * 1024


class MemoryObjectStore:
    """An object store in memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], tuple[bytes, ObjectInfo]] = {}

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all."""
        check_container(container)
        check_name(name)
        content = b"".join(chunks)
        info = ObjectInfo(
            name=name, size=len(content), digest=hashlib.sha256(content).hexdigest(), metadata=dict(metadata or {})
        )
        with self._lock:
            self._objects[container, name] = (content, info)
        return info

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk."""
        content, _ = self._find(container, name)
        return (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object; raises `NotFound`."""
        return self._find(container, name)[1]

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name."""
        check_container(container)
        with self._lock:
            found = [info for (held, name), (_, info) in self._objects.items() if held == container and name.startswith(prefix)]
        return sorted(found, key=lambda info: info.name)

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""
        check_container(container)
        check_name(name)
        with self._lock:
            self._objects.pop((container, name), None)

    def _find(self, container: str, name: str) -> tuple[bytes, ObjectInfo]:
        check_container(container)
        check_name(name)
        with self._lock:
            try:
                return self._objects[container, name]
            except KeyError:
                raise NotFound(f"Object {container}/{name} cannot be found.") from None
