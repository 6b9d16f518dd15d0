"""trove-manage datastore flavor-*, volume-type-*: which of them instances of a datastore version may have."""

import argparse
from functools import partial

from trove.cmd.manage.output import say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.errors import InvalidInput
from trove.store import datastores, offers
from trove.store.offers import Offer
from trove.store.session import Tx

_WORDS = {
    Offer.FLAVOR: ("flavor", "ids of flavors, with commas between them"),
    Offer.VOLUME_TYPE: ("volume-type", "names of volume types, with commas between them"),
}


def commands(group: Subparsers, parsers: Subparsers) -> None:
    """Add to `datastore` what binds flavors and volume types to versions, and to all commands the names of before."""
    for offer, (word, explained) in _WORDS.items():
        plural = f"{word.replace('-', ' ')}s"
        old = f"datastore_version_{offer.value}"
        for command in (
            add(group, f"{word}-add", f"let a version use {plural}, and from the first on no others", partial(bind, offer)),
            add(parsers, f"{old}_add", argparse.SUPPRESS, partial(bind, offer)),
        ):
            _version(command)
            command.add_argument("values", help=explained)
        for command in (
            add(group, f"{word}-delete", f"take a {word.replace('-', ' ')} away from a version", partial(unbind, offer)),
            add(parsers, f"{old}_delete", argparse.SUPPRESS, partial(unbind, offer)),
        ):
            _version(command)
            command.add_argument("value")
        for command in (
            add(group, f"{word}-list", f"list the {plural} that were bound to a version", partial(list_bound, offer)),
            add(parsers, f"{old}_list", argparse.SUPPRESS, partial(list_bound, offer)),
        ):
            _version(command)


def _version(command: argparse.ArgumentParser) -> None:
    command.add_argument("datastore")
    command.add_argument("version_name", help="name or id")
    command.add_argument("--version", dest="number", help="precise number, where several versions have the name")


def bind(offer: Offer, context: Context, arguments: argparse.Namespace) -> None:
    """Let a version use more."""
    values = tuple(value.strip() for value in arguments.values.split(",") if value.strip())
    if not values:
        raise InvalidInput("Name at least one.")
    version_id = context.database.run(_bind, offer, arguments, values)
    say(f"Version {version_id} may use: {', '.join(values)}.", as_json=context.as_json, id=version_id, added=values)


def unbind(offer: Offer, context: Context, arguments: argparse.Namespace) -> None:
    """Take one away."""
    version_id = context.database.run(_unbind, offer, arguments)
    value = arguments.value
    say(f"Version {version_id} may no longer use {value}.", as_json=context.as_json, id=version_id, removed=value)


def list_bound(offer: Offer, context: Context, arguments: argparse.Namespace) -> None:
    """List what was bound; nothing is: all may be used."""
    with context.database.reading() as tx:
        version_id = datastores.version(tx, arguments.datastore, arguments.version_name, number=arguments.number).id
        found = offers.of_version(tx, version_id).get(offer)
    if found is None and not context.as_json:
        print(f"Nothing is bound to version {version_id}: it may use all there are.")
        return
    show_rows(
        [{"version": version_id, offer.value: each} for each in sorted(found or ())], (offer.value,), as_json=context.as_json
    )


def _bind(tx: Tx, offer: Offer, arguments: argparse.Namespace, values: tuple[str, ...]) -> str:
    version = datastores.version(tx, arguments.datastore, arguments.version_name, number=arguments.number)
    offers.bind(tx, version.id, offer, values)
    return version.id


def _unbind(tx: Tx, offer: Offer, arguments: argparse.Namespace) -> str:
    version = datastores.version(tx, arguments.datastore, arguments.version_name, number=arguments.number)
    offers.unbind(tx, version.id, offer, arguments.value)
    return version.id
