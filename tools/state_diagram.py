"""doc/states.md: what may happen to an instance, as a diagram and a table, from the table of transitions in core."""

from collections.abc import Iterator

from trove.core.status import ServerStatus, Task, shown_status
from trove.core.transitions import TRANSITIONS, Rule, Target

KNOWN = {target.task for rule in TRANSITIONS.values() for target in rule.targets.values()}

HEAD = """# States of an instance

Generated from `src/trove/core/transitions.py` by `make generate`; do not edit.

What the service is doing with an instance is its *task*. Only an event changes it: a request that is accepted, the end of an
operation, or a repair. An event is compared with the stored task and applied under the lock of the row, in the transaction that
also stores what belongs to it (operation, quota, fault). Of two that contradict each other one wins; the other is answered with
422 and the status that stands in its way, or, when it is the end of an operation, leaves the instance alone.

## Diagram

A box is a task with the `status` that the API shows for it. "Idle" stands for NONE: then the status is that of the server:
ACTIVE when all is well.
"""

TABLE = """
## Events

"Needs" is what else must be the case. The status of the server is ACTIVE, ERROR, SHUTDOWN or BUILD, whichever it was last known
to be. Tasks that no event of this version leads to are left out.
"""


def states_text() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, "```mermaid", *_diagram(), "```", TABLE, *_table(), ""])


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    for task in sorted(KNOWN):
        yield f'  state "{"idle" if task is Task.NONE else task}<br/>{shown_status(task, ServerStatus.ACTIVE)}" as {task}'
    edges: dict[tuple[str, str], list[str]] = {}
    for event, rule in TRANSITIONS.items():
        for task, target in rule.targets.items():
            if task is None or task in KNOWN:
                edges.setdefault((task or "[*]", target.task), []).append(event)
    for (source, to), events in edges.items():
        yield f"  {source} --> {to}: {', '.join(events)}"
    yield f"  {Task.DELETED} --> [*]"


def _table() -> Iterator[str]:
    yield "| event | from | needs | to | status then |"
    yield "| --- | --- | --- | --- | --- |"
    for event, rule in TRANSITIONS.items():
        for sources, target in _by_target(rule):
            known = target.server or target.task is not Task.NONE
            shown = target.shown(None) if known else "that of the server"
            yield f"| {event} | {sources} | {_needs(rule)} | {target.task} | {shown} |"


def _by_target(rule: Rule) -> Iterator[tuple[str, Target]]:
    grouped: dict[Target, list[str]] = {}
    for task, target in rule.targets.items():
        if task is None or task in KNOWN:
            grouped.setdefault(target, []).append(task or "nothing yet")
    for target, tasks in grouped.items():
        yield ", ".join(sorted(tasks)), target


def _needs(rule: Rule) -> str:
    needs = [] if rule.servers is None else [f"the server is {' or '.join(sorted(rule.servers))}"]
    if rule.services is not None:
        needs.append(f"the database service is {' or '.join(sorted(rule.services))}")
    return "; ".join(needs)
