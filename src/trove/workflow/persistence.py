"""Where flows keep their state: TaskFlow's path-based persistence on a small store of named items.

A flow is owned by one engine at a time, so its whole tree is read once and kept in memory. That a task has ended is written
before the next one begins: one transaction a task. What was begun but not ended is never written; after a crash it is begun
again, which is what TaskFlow would do with it anyway.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from taskflow import exceptions as taskflow_errors
from taskflow import states
from taskflow.persistence import path_based

_ENDED = {states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE, states.SUSPENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a flow has come: the task that was done last, and how many are done of how many."""

    task: str
    done: int
    total: int


class PathStore(Protocol):
    """Keeps the items of flows, each under a path inside its flow. Thread-safe."""

    def load(self, flow_id: str) -> dict[str, bytes]:
        """Return all items of a flow by path; empty for an unknown flow."""

    def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
        """Store items, all or none, instead of those of the same path; durable on return. May run twice.

        `progress` is what they tell users, None when nothing more was done: it may be shown, from the same moment on.
        """

    def forget(self, flow_id: str) -> None:
        """Remove all items of a flow. May run twice."""


class MemoryPaths:
    """A `PathStore` in memory, for tests. `saves` counts the writes, `shown` keeps what users could see."""

    def __init__(self) -> None:
        self._flows: dict[str, dict[str, bytes]] = {}
        self._guard = threading.Lock()
        self.saves = 0
        self.shown: list[Progress] = []

    def load(self, flow_id: str) -> dict[str, bytes]:
        """Return all items of a flow by path."""
        with self._guard:
            return dict(self._flows.get(flow_id, {}))

    def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
        """Store items."""
        with self._guard:
            self._flows.setdefault(flow_id, {}).update(items)
            self.saves += 1
            if progress is not None:
                self.shown.append(progress)

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
    """TaskFlow's view of one flow in a `PathStore`. `total` is how many tasks the flow has.

    `eager` writes as soon as a task ends, for flows whose tasks run at the same time; else whoever begins a task flushes.
    """

    DEFAULT_PATH = ""

    def __init__(self, store: PathStore, flow_id: str) -> None:
        super().__init__({})
        self.total = 0
        self.eager = False
        self._connection = _Connection(self, store, flow_id)

    def get_connection(self) -> "_Connection":
        """Return the one connection; threads may share it."""
        return self._connection

    def flush(self) -> None:
        """Write that tasks have ended, if any has since the last write. Raises `Stop` around what the store raises."""
        self._connection.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class _Connection(path_based.PathBasedConnection):  # type: ignore[misc]
    def __init__(self, backend: FlowBackend, store: PathStore, flow_id: str) -> None:
        super().__init__(backend)
        self._store = store
        self._flow_id = flow_id
        self._guard = threading.RLock()
        self._flow = self._join_path(self.flow_path, flow_id)
        self._items = store.load(flow_id)
        self._states: dict[str, object] = {}
        self._done: dict[str, str] = {}
        for path, data in self._items.items():
            # Earlier versions stored links between the items, too; they are empty.
            if data:
                self._note(path, orjson.loads(data))
        self._changed: dict[str, bytes] = {}
        self._last_done: str | None = None
        self._ended = False

    def validate(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def flush(self) -> None:
        with self._guard:
            if not self._ended:
                return
            progress = None
            if self._last_done is not None:
                progress = Progress(task=self._last_done, done=len(self._done), total=self._backend.total)
            try:
                self._store.save(self._flow_id, self._changed, progress)
            except Exception as error:
                raise Stop(error) from error
            self._changed, self._last_done, self._ended = {}, None, False

    def _join_path(self, *parts: str) -> str:
        return "/".join(parts).lstrip("/")

    def _get_item(self, path: str) -> Any:
        try:
            return orjson.loads(self._items[path])
        except KeyError:
            raise taskflow_errors.NotFound(f"no item {path}") from None

    def _set_item(self, path: str, value: dict[str, Any], transaction: object) -> None:
        atom = value.get("atom")
        if atom is not None:
            atom["meta"] = {}  # TaskFlow's own counting of a task's progress: it would be another write.
            for failed in ("failure", "revert_failure"):
                atom[failed] = _without_values(atom[failed])
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
        if data == self._items.get(path):
            return
        self._items[path] = data
        before = self._states.get(path)
        state = self._note(path, value)
        if atom is None or state in _ENDED:
            self._changed[path] = data
        if state in _ENDED and state != before:
            self._ended = True
            if atom is not None and state == states.SUCCESS:
                self._last_done = atom["name"]

    def _note(self, path: str, value: Mapping[str, Any]) -> object:
        atom = value.get("atom")
        state = self._states[path] = (value if atom is None else atom).get("state")
        if atom is not None:
            if state == states.SUCCESS:
                self._done[path] = atom["name"]
            else:
                self._done.pop(path, None)
        return state

    def _del_tree(self, path: str, transaction: object) -> None:
        # Flows are removed whole, by `PathStore.forget`.
        raise NotImplementedError

    def _get_children(self, path: str) -> list[str]:
        """Return the ids of the flow's tasks: all that are here belong to it."""
        atoms = f"{self.atom_path}/"
        return [each.removeprefix(atoms) for each in self._states if each.startswith(atoms)] if path == self._flow else []

    def _ensure_path(self, path: str) -> None:
        pass

    def _create_link(self, src_path: str, dest_path: str, transaction: object) -> None:
        pass

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard:
            yield
            if self._backend.eager:
                self.flush()


def _without_values(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    """Keep the message and type of a failure. Arguments of exceptions and causes may hold anything, so they are dropped."""
    if failure is None:
        return None
    return failure | {"exc_args": (), "traceback_str": "", "causes": []}
