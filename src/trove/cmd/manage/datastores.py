"""trove-manage datastore: which engines and versions tenants may choose."""

import argparse

from trove.cmd.manage import offers, register
from trove.cmd.manage.output import Row, say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.datastores import Datastore, DatastoreVersion
from trove.datastores import registry
from trove.store import datastores

COLUMNS = ("datastore", "version", "number", "manager", "active", "default", "image", "id")


def commands(parsers: Subparsers) -> None:
    """Add `datastore list|update|delete|version-update|version-delete|version register`, and the names of before."""
    group = add(parsers, "datastore", "datastores and their versions").add_subparsers(metavar="COMMAND", required=True)
    add(group, "list", "list all datastores with all their versions", list_all)
    command = add(group, "update", "create a datastore, or set its default version; may be repeated", update)
    command.add_argument("datastore_name")
    command.add_argument("default_version", nargs="?", default="", help="name or id of one of its versions")
    command = add(group, "delete", "remove a datastore that has no versions", delete)
    command.add_argument("datastore_name")
    command = add(group, "version-update", "create or replace a version; may be repeated", version_update)
    command.add_argument("datastore")
    command.add_argument("version_name")
    command.add_argument("manager", help=f"engine: {', '.join(registry.managers())}")
    command.add_argument(
        "--image-id", default="", help="image to boot from; on the local cloud `host` is this machine's own packages"
    )
    command.add_argument("--packages", default="")
    command.add_argument("--inactive", dest="active", action="store_const", const="0", default="1", help="hide it from tenants")
    command.add_argument("--default", action="store_true", help="make it the datastore's default version")
    _version_options(command)
    command = add(group, "version-delete", "remove a version that no instance uses", version_delete)
    command.add_argument("version_id")
    register.commands(group)
    offers.commands(group, parsers)
    command = add(parsers, "datastore_update", argparse.SUPPRESS, update)
    command.add_argument("datastore_name")
    command.add_argument("default_version")
    command = add(parsers, "datastore_version_update", argparse.SUPPRESS, version_update)
    for name in ("datastore", "version_name", "manager", "image_id", "packages"):
        command.add_argument(name)
    command.add_argument("active", choices=("0", "1"))
    command.set_defaults(default=False)
    _version_options(command)


def _version_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--version", dest="number", help="precise number, such as 10.11.6 (default: the name)")
    command.add_argument(
        "--image-tags", default="", help="tags, with commas, of the image to boot from: the newest that has all"
    )
    command.add_argument("--registry-ext", help=argparse.SUPPRESS)
    command.add_argument("--repl-strategy", help=argparse.SUPPRESS)


def list_all(context: Context, arguments: argparse.Namespace) -> None:
    """List all datastores with all their versions."""
    with context.database.reading() as tx:
        found = datastores.all(tx, include_inactive=True)
    rows = [_row(datastore, version) for datastore in found for version in datastore.versions]
    rows += [{"datastore": datastore.name} for datastore in found if not datastore.versions]
    show_rows(rows, COLUMNS, as_json=context.as_json)


def _row(datastore: Datastore, version: DatastoreVersion) -> Row:
    return {
        "datastore": datastore.name,
        "version": version.name,
        "number": version.version,
        "manager": version.manager,
        "active": version.active,
        "default": version.id == datastore.default_version_id,
        "image": version.image_id or ",".join(version.image_tags) or None,
        "id": version.id,
    }


def update(context: Context, arguments: argparse.Namespace) -> None:
    """Create a datastore or set its default version."""
    found = context.database.run(datastores.put_datastore, arguments.datastore_name, arguments.default_version or None)
    say(f"Datastore {found.name} is {found.id}.", as_json=context.as_json, id=found.id, name=found.name)


def delete(context: Context, arguments: argparse.Namespace) -> None:
    """Remove a datastore."""
    context.database.run(datastores.delete_datastore, arguments.datastore_name)
    say(f"Datastore {arguments.datastore_name} is removed.", as_json=context.as_json, removed=arguments.datastore_name)


def version_update(context: Context, arguments: argparse.Namespace) -> None:
    """Create or replace a version, and its datastore when that is new."""
    registry.spec(arguments.manager)
    with context.database.transaction() as tx:
        datastores.put_datastore(tx, arguments.datastore)
        version = datastores.put_version(
            tx,
            arguments.datastore,
            arguments.version_name,
            manager=arguments.manager,
            version=arguments.number,
            active=arguments.active == "1",
            image_id=arguments.image_id or None,
            image_tags=tuple(tag.strip() for tag in arguments.image_tags.split(",") if tag.strip()),
            packages=arguments.packages,
            registry_ext=arguments.registry_ext,
            repl_strategy=arguments.repl_strategy,
        )
        if arguments.default:
            datastores.put_datastore(tx, arguments.datastore, version.id)
    say(
        f"Version {version.name} ({version.version}) of {version.datastore_name} is {version.id}.",
        as_json=context.as_json,
        id=version.id,
        name=version.name,
        number=version.version,
    )


def version_delete(context: Context, arguments: argparse.Namespace) -> None:
    """Remove a version."""
    context.database.run(datastores.delete_version, arguments.version_id)
    say(f"Version {arguments.version_id} is removed.", as_json=context.as_json, removed=arguments.version_id)
