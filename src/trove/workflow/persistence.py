"""Where flows keep their state: TaskFlow's path-based persistence on a small store of named items.

A flow is owned by one engine at a time, so its whole tree is read once and kept in memory, and what changes is written when a
task ends: one transaction a task. What was begun but not ended is never written; after a crash it is begun again, which is
what TaskFlow would do with it anyway.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from taskflow import exceptions as taskflow_errors
from taskflow import states
from taskflow.persistence import path_based

_ENDED = {states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE, states.SUSPENDED}


class PathStore(Protocol):
    """Keeps the items of flows, each under a path inside its flow. Thread-safe."""

    def load(self, flow_id: str) -> dict[str, bytes]:
        """Return all items of a flow by path; empty for an unknown flow."""

    def save(self, flow_id: str, items: Mapping[str, bytes]) -> None:
        """Store items, all or none, instead of those of the same path; durable on return. May run twice."""

    def forget(self, flow_id: str) -> None:
        """Remove all items of a flow. May run twice."""


class MemoryPaths:
    """A `PathStore` in memory, for tests. `saves` counts the writes."""

    def __init__(self) -> None:
        self._flows: dict[str, dict[str, bytes]] = {}
        self._guard = threading.Lock()
        self.saves = 0

    def load(self, flow_id: str) -> dict[str, bytes]:
        """Return all items of a flow by path."""
        with self._guard:
            return dict(self._flows.get(flow_id, {}))

    def save(self, flow_id: str, items: Mapping[str, bytes]) -> None:
        """Store items."""
        with self._guard:
            self._flows.setdefault(flow_id, {}).update(items)
            self.saves += 1

    def forget(self, flow_id: str) -> None:
        """Remove all items of a flow."""
        with self._guard:
            self._flows.pop(flow_id, None)


class Stop(BaseException):
    """Carries an error out of TaskFlow past all its handlers, so that the flow stays as it stands: no failure, no revert."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class FlowBackend(path_based.PathBasedBackend):  # type: ignore[misc]
    """TaskFlow's view of one flow in a `PathStore`."""

    DEFAULT_PATH = ""

    def __init__(self, store: PathStore, flow_id: str) -> None:
        super().__init__({})
        self._connection = _Connection(self, store, flow_id)

    def get_connection(self) -> "_Connection":
        """Return the one connection; threads may share it."""
        return self._connection

    def flush(self) -> None:
        """Write what has changed since the last write."""
        self._connection.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class _Connection(path_based.PathBasedConnection):  # type: ignore[misc]
    def __init__(self, backend: FlowBackend, store: PathStore, flow_id: str) -> None:
        super().__init__(backend)
        self._store = store
        self._flow_id = flow_id
        self._guard = threading.RLock()
        self._items = store.load(flow_id)
        self._children: dict[str, list[str]] = {}
        for path in sorted(self._items):
            self._enter(path)
        self._changed: dict[str, bytes] = {}
        self._urgent = False

    def validate(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def flush(self) -> None:
        with self._guard:
            self._urgent = False
            if self._changed:
                try:
                    self._store.save(self._flow_id, self._changed)
                except Exception as error:
                    raise Stop(error) from error
                self._changed = {}

    def _join_path(self, *parts: str) -> str:
        return "/".join(parts).lstrip("/")

    def _get_item(self, path: str) -> Any:
        try:
            return json.loads(self._items[path])
        except KeyError:
            raise taskflow_errors.NotFound(f"no item {path}") from None

    def _set_item(self, path: str, value: dict[str, Any], transaction: object) -> None:
        atom = value.get("atom")
        if atom is not None:
            for failed in ("failure", "revert_failure"):
                atom[failed] = _without_values(atom[failed])
        state = (value if atom is None else atom).get("state")
        data = json.dumps(value).encode()
        before = self._items.get(path)
        if data == before:
            return
        self._urgent |= state in _ENDED and (before is None or _state(before) != state)
        self._put(path, data)

    def _del_tree(self, path: str, transaction: object) -> None:
        # Flows are removed whole, by `PathStore.forget`.
        raise NotImplementedError

    def _get_children(self, path: str) -> list[str]:
        return list(self._children.get(path, ()))

    def _ensure_path(self, path: str) -> None:
        pass

    def _create_link(self, src_path: str, dest_path: str, transaction: object) -> None:
        if dest_path not in self._items:
            self._put(dest_path, b"")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard:
            yield
            if self._urgent:
                self.flush()

    def _put(self, path: str, data: bytes) -> None:
        if path not in self._items:
            self._enter(path)
        self._items[path] = self._changed[path] = data

    def _enter(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        self._children.setdefault(parent, []).append(name)


def _state(data: bytes) -> object:
    value = json.loads(data)
    return value.get("atom", value).get("state")


def _without_values(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    """Keep the message and type of a failure. Arguments of exceptions and causes may hold anything, so they are dropped."""
    if failure is None:
        return None
    return failure | {"exc_args": (), "traceback_str": "", "causes": []}
