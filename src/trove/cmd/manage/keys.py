"""trove-manage backup-key, secrets: the keys of projects that encrypt backups, and all secrets sealed with a new key."""

import argparse
from dataclasses import asdict

from trove.cmd.manage.output import say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.store import backup_keys, secrets


def commands(parsers: Subparsers) -> None:
    """Add `backup-key list|rotate` and `secrets reseal`."""
    group = add(parsers, "backup-key", "keys that encrypt backups").add_subparsers(metavar="COMMAND", required=True)
    command = add(group, "list", "list the keys of projects, the oldest first; the keys themselves are not shown", show)
    command.add_argument("--project", help="of this project only")
    command = add(group, "rotate", "give a project a new key for its backups from now on; old backups keep theirs", rotate)
    command.add_argument("project_id")
    group = add(parsers, "secrets", "secrets in the state database").add_subparsers(metavar="COMMAND", required=True)
    add(
        group,
        "reseal",
        "seal all secrets with the first key of [secrets] key_file, and leave the others without use but the last",
        reseal,
    )


def show(context: Context, arguments: argparse.Namespace) -> None:
    """List keys."""
    with context.database.reading() as tx:
        found = backup_keys.known(tx, arguments.project)
    show_rows([asdict(key) for key in found], ("project_id", "id", "created"), as_json=context.as_json)


def rotate(context: Context, arguments: argparse.Namespace) -> None:
    """Add a key."""
    key = context.database.run(backup_keys.rotate, arguments.project_id)
    say(f"New backups of project {key.project_id} are encrypted by key {key.id}.", as_json=context.as_json, **asdict(key))


def reseal(context: Context, _arguments: argparse.Namespace) -> None:
    """Seal all secrets again."""
    count = secrets.reseal(context.database)
    say(f"{count} secrets are sealed with the first key of the file.", as_json=context.as_json, count=count)
