"""trove-manage db: the schema of the state database."""

import argparse

from trove.cmd.manage.output import say
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.errors import InvalidInput
from trove.store import schema


def commands(parsers: Subparsers) -> None:
    """Add `db upgrade`, `db current`, and the names of before."""
    group = add(parsers, "db", "the schema of the state database").add_subparsers(metavar="COMMAND", required=True)
    command = add(group, "upgrade", "make the tables, or bring them to a newer revision; may be repeated", upgrade)
    command.add_argument("--revision", default="head", help="revision to go to (default: the newest)")
    add(group, "current", "show the revision of the tables, and the newest", current)
    for name in ("db_sync", "db_upgrade"):
        command = add(parsers, name, argparse.SUPPRESS, upgrade)
        command.add_argument("--version", dest="revision", default="head")
        command.add_argument("--repo_path", help=argparse.SUPPRESS)
    command = add(parsers, "db_downgrade", argparse.SUPPRESS, refuse_downgrade)
    command.add_argument("version", nargs="?")
    command = add(parsers, "db_recreate", argparse.SUPPRESS, refuse_recreation)
    command.add_argument("--repo_path", help=argparse.SUPPRESS)


def upgrade(context: Context, arguments: argparse.Namespace) -> None:
    """Bring the tables to a revision."""
    schema.upgrade(context.database, arguments.revision)
    revision = schema.current(context.database)
    say(f"The state database is at revision {revision}.", as_json=context.as_json, revision=revision)


def current(context: Context, arguments: argparse.Namespace) -> None:
    """Show the revision."""
    revision, head = schema.current(context.database), schema.head()
    text = f"The state database is at revision {revision or 'none: it is empty'}; the newest is {head}."
    say(text, as_json=context.as_json, revision=revision, head=head)


def refuse_downgrade(context: Context, arguments: argparse.Namespace) -> None:
    """Refuse to go back."""
    raise InvalidInput("The schema cannot go back. Restore a backup of the state database instead.")


def refuse_recreation(context: Context, arguments: argparse.Namespace) -> None:
    """Refuse to drop all that is known of the instances."""
    raise InvalidInput("What is stored is not dropped by a command. Empty the database itself, then make tables by db upgrade.")
