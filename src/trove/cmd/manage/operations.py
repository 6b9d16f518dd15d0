"""trove-manage operation: what runs, what ended how, and pushing what waits."""

import argparse
import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from trove.cmd.manage.output import say, show_one, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.clock import utcnow
from trove.core.errors import Conflict, Unavailable
from trove.core.operations import UNFINISHED, Operation, OperationState
from trove.store import operations

RETRY = """Have an operation go on, or begin it again.

An operation that has not ended: whoever had it in hand is fenced off if its lease ran out (with --force in any case), and
the task managers are told to take it up now. They do both by themselves, only later.
A FAILED or CANCELLED deletion or restart: a new operation of the kind is accepted, if the instance allows it now.
Anything else that has ended is refused: a failed creation has been undone; delete the instance and create it anew."""

COLUMNS = ("id", "kind", "resource_id", "state", "percent", "step", "attempts", "created", "error")


def commands(parsers: Subparsers) -> None:
    """Add `operation list|show|cancel|retry`."""
    group = add(parsers, "operation", "operations in the background").add_subparsers(metavar="COMMAND", required=True)
    command = add(group, "list", "list operations, the newest first", list_some)
    command.add_argument("--project", help="of this project only")
    command.add_argument("--resource", help="on the resource with this id only")
    command.add_argument("--kind", help="such as instance.create")
    command.add_argument("--state", choices=[state.value for state in OperationState])
    command.add_argument("--unfinished", action="store_true", help="those that have not ended, the oldest first")
    command.add_argument("--limit", type=int, default=50)
    add(group, "show", "show all of one operation, without its secrets", show).add_argument("operation_id")
    command = add(group, "cancel", "ask an operation to stop; it undoes what it has done and ends as CANCELLED", cancel)
    command.add_argument("operation_id")
    command.add_argument("--force", action="store_true", help="also a kind that users cannot cancel, such as a deletion")
    command = add(group, "retry", "have an operation go on, or begin it again", retry)
    command.description = RETRY
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("operation_id")
    command.add_argument("--force", action="store_true", help="take the operation from a runner whose lease has not run out")


def list_some(context: Context, arguments: argparse.Namespace) -> None:
    """List operations."""
    with context.database.reading() as tx:
        if arguments.unfinished:
            found = operations.unfinished(tx, limit=arguments.limit, resource_id=arguments.resource)
        else:
            found = operations.page(
                tx,
                project_id=arguments.project,
                resource_id=arguments.resource,
                state=OperationState(arguments.state) if arguments.state else None,
                kind=arguments.kind,
                limit=arguments.limit,
            ).items
    show_rows([_row(operation) for operation in found], COLUMNS, as_json=context.as_json)


def show(context: Context, arguments: argparse.Namespace) -> None:
    """Show one operation."""
    with context.database.reading() as tx:
        show_one(_row(operations.get(tx, arguments.operation_id)), as_json=context.as_json)


def cancel(context: Context, arguments: argparse.Namespace) -> None:
    """Ask an operation to stop."""
    from trove.operations.operation.cancel import ask

    operation = context.database.run(ask, arguments.operation_id, forced=arguments.force)
    told = _announce(context, operation.id)
    soon = "" if told else " The bus is away: a task manager finds it at its next sweep."
    say(f"The operation was asked to stop.{soon}", as_json=context.as_json, cancel_requested=True, announced=told)


def retry(context: Context, arguments: argparse.Namespace) -> None:
    """Have an operation go on, or begin it again."""
    with context.database.reading() as tx:
        operation = operations.get(tx, arguments.operation_id)
    if operation.state not in UNFINISHED:
        _begin_again(context, operation)
        return
    fenced = _take_away(context, operation, forced=arguments.force)
    told = _announce(context, operation.id)
    soon = "was announced to the task managers" if told else "waits for the next sweep of a task manager: the bus is away"
    say(f"The operation {soon}.", as_json=context.as_json, announced=told, fenced_off=fenced)


def _take_away(context: Context, operation: Operation, *, forced: bool) -> bool:
    """Fence off whoever has the operation; return whether somebody had it. Raises `Conflict` while its lease runs."""
    if operation.state is OperationState.PENDING:
        return False
    grace = timedelta(seconds=context.conf.taskmanager.lease / 2)
    if not forced and operation.lease_until is not None and utcnow() <= operation.lease_until + grace:
        raise Conflict(
            f"Operation {operation.id} is in the hands of {operation.owner}, which gave a sign of life lately. --force takes "
            "it away nevertheless."
        )
    return context.database.run(operations.disown, operation.id)


def _begin_again(context: Context, operation: Operation) -> None:
    from trove.cmd import wiring
    from trove.core.callers import Caller
    from trove.operations.instance import delete, restart

    verbs = {delete.KIND: delete.start, restart.KIND: restart.start}
    if operation.state is OperationState.SUCCEEDED or operation.kind not in verbs:
        raise Conflict(
            f"Operation {operation.id}, {operation.kind}, has ended as {operation.state.value}; the request must be made anew."
        )
    bus = wiring.bus(context.base, "trove-manage")
    try:
        caller = Caller(
            project_id=operation.project_id, user_id=operation.user_id, request_id=f"req-{uuid.uuid4()}", is_admin=True
        )
        verbs[operation.kind](wiring.doors(context.base, bus), caller, operation.resource_id)
    finally:
        bus.close()
    with context.database.reading() as tx:
        newest = operations.page(tx, project_id=None, resource_id=operation.resource_id, kind=operation.kind, limit=1).items[0]
    say(f"Operation {newest.id} does it again.", as_json=context.as_json, operation=newest.id)


def _announce(context: Context, operation_id: str) -> bool:
    """Tell the task managers of an operation; return whether the bus took it."""
    from trove.bus.taskmanager import TaskManagerCaller
    from trove.cmd import wiring

    try:
        bus = wiring.bus(context.base, "trove-manage")
        try:
            TaskManagerCaller(bus).run_operation(operation_id)
        finally:
            bus.close()
    except Unavailable:
        return False
    return True


def _row(operation: Operation) -> dict[str, Any]:
    row = asdict(operation)
    del row["secrets"]
    return {**row, "state": operation.state.value}
