"""trove-manage orphans: what cloud and bus hold for instances that this state database does not know."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trove.cmd.manage.output import Row, say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.errors import CloudError, Conflict, InvalidInput, TroveError
from trove.core.orphans import HeldKind, Orphan
from trove.store import census, orphans

if TYPE_CHECKING:
    from trove.cloud.contract import Cloud

COLUMNS = ("kind", "instance_id", "size_gib", "first_seen", "last_seen", "reason")

CLEAN = """remove what is listed, after asking: servers before volumes before names before ports before bus users. DATA ON A
VOLUME IS LOST. What belongs to a live instance, or to one that an operation works on, is never removed; that is looked up again
right before"""


def commands(parsers: Subparsers) -> None:
    """Add `orphans list|clean`."""
    text = "what the cloud and the bus hold for no instance, as the task manager found it"
    group = add(parsers, "orphans", text).add_subparsers(metavar="COMMAND", required=True)
    _filters(add(group, "list", "list what belongs to no instance; the task manager looks once a minute", list_all))
    command = add(group, "clean", CLEAN, clean)
    _filters(command)
    command.add_argument("--yes", action="store_true", help="do not ask")


def _filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kind", choices=[kind.value for kind in HeldKind], help="of this kind only")
    command.add_argument(
        "--id", action="append", default=[], metavar="INSTANCE", help="of the instance with this id only; may be repeated"
    )
    command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def list_all(context: Context, arguments: argparse.Namespace) -> None:
    """List orphans."""
    from trove.cmd import clouds

    found = _chosen(context, arguments)
    cloud = clouds.cloud(context.conf) if found else None
    show_rows([_row(orphan, cloud) for orphan in found], COLUMNS, as_json=arguments.json)


def clean(context: Context, arguments: argparse.Namespace) -> None:
    """Remove orphans; raise `CloudError` when some of them could not be removed."""
    from trove.cmd import clouds, wiring
    from trove.operations.reconcile.removal import deeds, is_needed

    wanted = _chosen(context, arguments)
    if not wanted:
        say("There is nothing to remove.", as_json=arguments.json, removed=[], kept=[])
        return
    cloud = clouds.cloud(context.conf)
    if not arguments.id:
        _refuse_strange_database(context, cloud)
    if not arguments.yes:
        _ask(wanted, cloud)
    removers = deeds(cloud, wiring.admission(context.base), clouds.names(context.conf, cloud))
    removed: list[Orphan] = []
    kept: dict[str, str] = {}
    for orphan in wanted:
        with context.database.reading() as tx:
            needed = is_needed(tx, orphan.instance_id)
        if needed:
            kept[_name(orphan)] = "it belongs to an instance now"
        elif orphan.kind not in removers:
            kept[_name(orphan)] = "trove_dns_support is false now, so that nothing looks after names"
        else:
            try:
                removers[orphan.kind](orphan.instance_id)
            except TroveError as error:
                kept[_name(orphan)] = error.message
                continue
            removed.append(orphan)
        context.database.run(orphans.forget, orphan.kind, [orphan.instance_id])
    _report(removed, kept, as_json=arguments.json)


def _report(removed: Sequence[Orphan], kept: dict[str, str], *, as_json: bool) -> None:
    lines = [f"removed: {_name(orphan)}" for orphan in removed] + [f"kept: {name}: {reason}" for name, reason in kept.items()]
    say("\n".join(lines), as_json=as_json, removed=[_name(orphan) for orphan in removed], kept=kept)
    if kept:
        raise CloudError(f"{len(kept)} of {len(kept) + len(removed)} things were kept.")


def _chosen(context: Context, arguments: argparse.Namespace) -> list[Orphan]:
    with context.database.reading() as tx:
        found = orphans.all(tx, kind=HeldKind(arguments.kind) if arguments.kind else None)
    return [orphan for orphan in found if not arguments.id or orphan.instance_id in arguments.id]


def _refuse_strange_database(context: Context, cloud: "Cloud") -> None:
    """Raise `Conflict` when nothing that the cloud holds belongs to this database: one of the two is likely the wrong one."""
    held = cloud.leftovers()
    with context.database.reading() as tx:
        known = census.live_among(tx, {*held.servers, *held.volumes})
    if not known:
        raise Conflict(
            "Not one server or volume of this cloud belongs to a live instance of this state database: it may be the wrong "
            "one, or an old copy. If it is right, name what is to be removed with --id."
        )


def _ask(wanted: Sequence[Orphan], cloud: "Cloud") -> None:
    if not sys.stdin.isatty():
        raise InvalidInput("clean removes data for good; say --yes when that is meant")
    show_rows([_row(orphan, cloud) for orphan in wanted], COLUMNS, as_json=False)
    print(f"Remove these {len(wanted)} things and all data in them? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Conflict("Nothing was removed.")


def _row(orphan: Orphan, cloud: "Cloud | None") -> Row:
    row: dict[str, Any] = {
        "kind": orphan.kind.value,
        "instance_id": orphan.instance_id,
        "reason": orphan.reason,
        "first_seen": orphan.first_seen,
        "last_seen": orphan.last_seen,
        "size_gib": None,
    }
    if cloud is not None and orphan.kind is HeldKind.VOLUME:
        row["size_gib"] = _size(cloud, orphan.instance_id)
    return row


def _size(cloud: "Cloud", instance_id: str) -> int | None:
    try:
        volume = cloud.find_volume(instance_id)
    except TroveError:  # The list is worth having without what the cloud would say.
        return None
    return None if volume is None else volume.size_gib


def _name(orphan: Orphan) -> str:
    return f"{orphan.kind.value} of {orphan.instance_id}"
