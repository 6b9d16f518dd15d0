"""Runs flows so that they survive the death of their runner: another takes them up after the last task that ended."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from taskflow import exceptions as taskflow_errors
from taskflow import states, task
from taskflow.engines.action_engine.engine import ParallelActionEngine, SerialActionEngine
from taskflow.flow import Flow
from taskflow.patterns import linear_flow
from taskflow.persistence import models
from taskflow.types.failure import Failure

from trove.core import errors
from trove.core.json import JSON
from trove.workflow.persistence import FlowBackend, PathStore, Stop

LOG = logging.getLogger(__name__)

PARALLEL_TASKS = 8

_UNDO_FAILED = "trove:undo-failed"


class State(StrEnum):
    """How a flow ended."""

    SUCCEEDED = "SUCCEEDED"
    REVERTED = "REVERTED"


SUCCEEDED = State.SUCCEEDED
REVERTED = State.REVERTED

Probe = Callable[[str, str], None]
"""Called with (task, moment), a moment being one of `before do`, `after do`, `before undo`, `after undo`. For tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a flow ended. `error` made it revert: the exception itself, or after a resume one rebuilt from its code and message.

    `undo_failures` names the tasks whose undoing failed; the undoing of the others went on.
    """

    state: State
    error: BaseException | None = None
    undo_failures: tuple[str, ...] = ()


class TaskFailed(Exception):
    """What persistence keeps of an error: code and message of a TroveError, of others the class: a text may hold anything."""


def run(
    flow_id: str,
    factory: Callable[[], Any],
    *,
    paths: PathStore,
    store: Mapping[str, object] | None = None,
    probe: Probe | None = None,
    keep_end: bool = True,
) -> Outcome:
    """Run the flow that `factory` makes to its end, or resume it after the last task that ended; return how it ended.

    `factory` makes the same TaskFlow flow of equally named tasks each time. Tasks may run twice, must return small plain JSON
    and no secret: it is persisted. `store` holds arguments of tasks; it is not persisted and must be given again.
    Tasks run one after another; those in unordered and graph flows at the same time. That a task has ended is stored before
    the next one begins.

    A task that raises reverts the flow. `Fenced` from a task or from `paths` is raised at once and nothing more is run or
    written; so is whatever else `paths` raises, and what is no `Exception`: the flow can then be resumed.
    May be called again for a flow that ended: returns the same outcome until it is forgotten.

    Without `keep_end` the end is not stored: the caller stores what it means, and forgets the flow, in one transaction of its
    own. Until then the last task may run again.
    """
    backend = FlowBackend(paths, flow_id)
    detail = _flow_detail(backend, flow_id)
    if detail.state in {states.SUCCESS, states.REVERTED}:
        return _outcome(detail, {})
    flow = factory()
    raised: dict[str, BaseException] = {}
    tasks = list(_tasks(flow))
    for each in tasks:
        _guard(each, raised, probe or _no_probe, backend.flush)
    backend.total = len(tasks)
    backend.eager = _is_parallel(flow)
    kind = ParallelActionEngine if backend.eager else SerialActionEngine
    options = {"gather_statistics": False, "max_workers": PARALLEL_TASKS}
    engine = kind(flow, detail, backend, options)
    engine.storage.inject(dict(store or {}), transient=True)
    try:
        _run(engine, detail)
        if keep_end:
            backend.flush()
    except Stop as stop:
        raise stop.error from stop
    return _outcome(detail, raised)


def forget(flow_id: str, *, paths: PathStore) -> None:
    """Remove what is stored of a flow. May run twice."""
    paths.forget(flow_id)


def step(
    name: str,
    do: Callable[..., JSON],
    undo: Callable[..., object] | None = None,
    *,
    provides: str | tuple[str, ...] | None = None,
) -> Any:
    """Return a task that calls `do` and, when the flow reverts, `undo`.

    Parameters of both are filled by name from `store` and from what earlier steps provide; `undo` may also take `result`, what
    `do` returned, or None when it failed or did not end. `provides` names the result, or with a tuple its parts.
    """
    return _Step(name, do, undo, provides)


def linear(name: str, *steps: Any) -> Any:
    """Return a flow of steps, or of flows, one after another."""
    return linear_flow.Flow(name).add(*steps)


class _Step(task.Task):  # type: ignore[misc]
    def __init__(self, name: str, do: Callable[..., JSON], undo: Callable[..., object] | None, provides: Any) -> None:
        undo_names = _parameters(undo) if undo is not None else []
        super().__init__(
            name=name,
            provides=provides,
            requires=_parameters(do),
            revert_requires=[each for each in undo_names if each != "result"],
            auto_extract=False,
        )
        self._do = do
        self._undo = undo
        self._undo_names = frozenset(undo_names)

    def execute(self, **arguments: Any) -> Any:
        return self._do(**arguments)

    def revert(self, **arguments: Any) -> None:
        if self._undo is not None:
            if isinstance(arguments.get("result"), Failure):
                arguments["result"] = None
            self._undo(**{name: value for name, value in arguments.items() if name in self._undo_names})


def _run(engine: Any, detail: models.FlowDetail) -> None:
    try:
        engine.run()
    except (TaskFailed, taskflow_errors.WrappedFailure):
        if detail.state != states.REVERTED:
            raise


def _flow_detail(backend: FlowBackend, flow_id: str) -> Any:
    connection = backend.get_connection()
    try:
        return connection.get_flow_details(flow_id)
    except taskflow_errors.NotFound:
        detail = models.FlowDetail(flow_id, uuid=flow_id)
        connection.update_flow_details(detail, ignore_missing=True)
        return detail


def _guard(atom: Any, raised: dict[str, BaseException], probe: Probe, flush: Callable[[], None]) -> None:
    """Store what ended before the task begins, let `Fenced` stop the flow, and TaskFlow see only what may be stored."""
    execute, revert = atom.execute, atom.revert

    def guarded_execute(**arguments: Any) -> Any:
        flush()
        try:
            probe(atom.name, "before do")
            result = execute(**arguments)
            orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS)
            probe(atom.name, "after do")
        except errors.Fenced as error:
            raise Stop(error) from error
        except Exception as error:
            raised.setdefault(atom.name, error)
            raise TaskFailed(_kept(error)) from None
        return result

    def guarded_revert(**arguments: Any) -> str | None:
        flush()
        try:
            probe(atom.name, "before undo")
            revert(**arguments)
            probe(atom.name, "after undo")
        except errors.Fenced as error:
            raise Stop(error) from error
        except Exception:
            # The others must still be undone.
            LOG.exception("Undoing of task %s failed", atom.name)
            return _UNDO_FAILED
        return None

    atom.execute, atom.revert = guarded_execute, guarded_revert


def _outcome(detail: Any, raised: Mapping[str, BaseException]) -> Outcome:
    if detail.state == states.SUCCESS:
        return Outcome(state=SUCCEEDED)
    failed = [atom for atom in detail if atom.failure is not None]
    error = next(iter(raised.values()), None)
    if error is None and failed:
        error = _rebuilt(failed[0].failure.exception_str)
    undo_failures = sorted(atom.name for atom in detail if getattr(atom, "revert_results", None) == _UNDO_FAILED)
    return Outcome(state=REVERTED, error=error, undo_failures=tuple(undo_failures))


def _kept(error: Exception) -> str:
    return f"{error.code}: {error.message}" if isinstance(error, errors.TroveError) else type(error).__qualname__


def _rebuilt(kept: str) -> errors.TroveError:
    code, colon, message = kept.partition(": ")
    known = {kind.code: kind for kind in _kinds(errors.TroveError)} if colon else {}
    return known[code](message) if code in known else errors.TroveError(kept)


def _kinds(kind: type[errors.TroveError]) -> Iterator[type[errors.TroveError]]:
    for each in kind.__subclasses__():
        yield from _kinds(each)
    yield kind


def _parts(flow: Any) -> Iterator[Any]:
    for node, _ in flow.iter_nodes():
        yield node
        if isinstance(node, Flow):
            yield from _parts(node)


def _tasks(flow: Any) -> Iterator[Any]:
    return (part for part in _parts(flow) if isinstance(part, task.Task))


def _is_parallel(flow: Any) -> bool:
    flows = [flow, *(part for part in _parts(flow) if isinstance(part, Flow))]
    return not all(isinstance(each, linear_flow.Flow) for each in flows)


def _parameters(function: Callable[..., object]) -> list[str]:
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    found = inspect.signature(function).parameters.values()
    return [each.name for each in found if each.kind in kinds and each.default is inspect.Parameter.empty]


def _no_probe(_task: str, _moment: str) -> None:
    pass
