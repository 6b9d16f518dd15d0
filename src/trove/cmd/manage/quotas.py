"""trove-manage quota: what projects may use, and whether what is counted agrees with what is there."""

import argparse
from dataclasses import asdict
from typing import Any

from trove.cmd.manage.output import say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.errors import TroveError
from trove.core.quotas import Drift, Resource
from trove.operations.booking import quota_defaults
from trove.store import quotas

PROJECTS_AT_ONCE = 100


def commands(parsers: Subparsers) -> None:
    """Add `quota show|set|recount`."""
    group = add(parsers, "quota", "quotas of projects").add_subparsers(metavar="COMMAND", required=True)
    text = "show what a project uses, what is reserved for it, and its limits; volumes in GiB, ram in MiB, -1 is unlimited"
    command = add(group, "show", text, show)
    command.add_argument("project_id")
    command = add(group, "set", "give a project a limit of its own", set_limit)
    command.add_argument("project_id")
    command.add_argument("resource", choices=[resource.value for resource in Resource])
    command.add_argument("limit", type=int, help="volumes in GiB, ram in MiB; -1 is unlimited")
    text = "compare what is counted with the instances and operations that are there, and set right what differs"
    command = add(group, "recount", text, recount)
    command.add_argument("--project", help="of this project only")
    command.add_argument("--dry-run", action="store_true", help="only tell what differs; end with 1 when something does")


def show(context: Context, arguments: argparse.Namespace) -> None:
    """Show use, reservations and limits."""
    from trove.cmd import wiring

    defaults = quota_defaults(wiring.settings(context.conf).limits)
    with context.database.reading() as tx:
        found = quotas.limits_of(tx, arguments.project_id, defaults)
    rows = [{**asdict(quota), "resource": quota.resource.value} for quota in found]
    show_rows(rows, ("resource", "in_use", "reserved", "limit"), as_json=context.as_json)


def set_limit(context: Context, arguments: argparse.Namespace) -> None:
    """Set a limit."""
    context.database.run(quotas.set_limit, arguments.project_id, Resource(arguments.resource), arguments.limit)
    say(
        f"Project {arguments.project_id} may use {arguments.limit} of {arguments.resource}.",
        as_json=context.as_json,
        resource=arguments.resource,
        limit=arguments.limit,
    )


def recount(context: Context, arguments: argparse.Namespace) -> None:
    """Recount one project or all, each in a transaction of its own. Raises `TroveError` for a drift that is not repaired."""
    found: list[Drift] = []
    projects = (arguments.project,) if arguments.project else _projects(context, "")
    while projects:
        for project_id in projects:
            found += context.database.run(quotas.recount, project_id, repair=not arguments.dry_run)
        projects = () if arguments.project else _projects(context, projects[-1])
    columns = ("project_id", "resource", "in_use", "true_in_use", "reserved", "true_reserved")
    if found or context.as_json:
        show_rows([_row(drift) for drift in found], columns, as_json=context.as_json)
    else:
        print("What is counted agrees with what is there.")
    if found and arguments.dry_run:
        raise TroveError(f"{len(found)} counts differ from what is there; without --dry-run they are set right.")


def _projects(context: Context, after: str) -> tuple[str, ...]:
    with context.database.reading() as tx:
        return quotas.projects(tx, limit=PROJECTS_AT_ONCE, after=after)


def _row(drift: Drift) -> dict[str, Any]:
    return {**asdict(drift), "resource": drift.resource.value}
