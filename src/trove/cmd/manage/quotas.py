"""trove-manage quota: what projects may use."""

import argparse
from dataclasses import asdict

from trove.cmd.manage.output import say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.quotas import Resource
from trove.operations.booking import quota_defaults
from trove.store import quotas


def commands(parsers: Subparsers) -> None:
    """Add `quota show|set`."""
    group = add(parsers, "quota", "quotas of projects").add_subparsers(metavar="COMMAND", required=True)
    command = add(group, "show", "show use and limits of a project; volumes in GiB, ram in MiB, -1 is unlimited", show)
    command.add_argument("project_id")
    command = add(group, "set", "give a project a limit of its own", set_limit)
    command.add_argument("project_id")
    command.add_argument("resource", choices=[resource.value for resource in Resource])
    command.add_argument("limit", type=int, help="volumes in GiB, ram in MiB; -1 is unlimited")


def show(context: Context, arguments: argparse.Namespace) -> None:
    """Show use and limits."""
    from trove.cmd import wiring

    defaults = quota_defaults(wiring.settings(context.conf).limits)
    with context.database.reading() as tx:
        found = quotas.limits_of(tx, arguments.project_id, defaults)
    rows = [{**asdict(quota), "resource": quota.resource.value} for quota in found]
    show_rows(rows, ("resource", "in_use", "limit"), as_json=context.as_json)


def set_limit(context: Context, arguments: argparse.Namespace) -> None:
    """Set a limit."""
    context.database.run(quotas.set_limit, arguments.project_id, Resource(arguments.resource), arguments.limit)
    say(
        f"Project {arguments.project_id} may use {arguments.limit} of {arguments.resource}.",
        as_json=context.as_json,
        resource=arguments.resource,
        limit=arguments.limit,
    )
