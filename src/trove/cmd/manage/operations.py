"""trove-manage operation: what runs, what ended how, and pushing what waits."""

import argparse
from dataclasses import asdict
from typing import Any

from trove.cmd.manage.output import say, show_one, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.errors import Conflict
from trove.core.operations import UNFINISHED, Operation, OperationState
from trove.store import operations

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
    for name, text, run in (
        ("show", "show all of one operation, without its secrets", show),
        ("cancel", "ask an operation to stop; it undoes what it has done", cancel),
        ("retry", "have an operation that waits run now instead of at the next sweep", retry),
    ):
        add(group, name, text, run).add_argument("operation_id")


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
    if not context.database.run(operations.request_cancel, arguments.operation_id):
        raise Conflict(f"Operation {arguments.operation_id} has ended already.")
    say("The operation was asked to stop.", as_json=context.as_json, cancel_requested=True)


def retry(context: Context, arguments: argparse.Namespace) -> None:
    """Announce an operation again."""
    from trove.bus.taskmanager import TaskManagerCaller
    from trove.cmd import wiring

    with context.database.reading() as tx:
        operation = operations.get(tx, arguments.operation_id)
    if operation.state not in UNFINISHED:
        raise Conflict(f"Operation {operation.id} has ended as {operation.state.value}; the request must be made anew.")
    bus = wiring.bus(context.base, "trove-manage")
    try:
        TaskManagerCaller(bus).run_operation(operation.id)
    finally:
        bus.close()
    say("The operation was announced to the task managers.", as_json=context.as_json, announced=operation.id)


def _row(operation: Operation) -> dict[str, Any]:
    row = asdict(operation)
    del row["secrets"]
    return {**row, "state": operation.state.value}
