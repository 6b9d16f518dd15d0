"""Reads the arguments of a remote call: each has its type, or the call is refused by name."""

from collections.abc import Mapping

from trove.core.accounts import Database, User
from trove.core.clusters import Membership, Peer
from trove.core.errors import InvalidInput
from trove.core.json import JSON

MAX_PAGE = 10_000


def text(args: Mapping[str, JSON], name: str) -> str:
    """Return a string that must be given."""
    value = args.get(name)
    if not isinstance(value, str):
        raise InvalidInput(f"Argument '{name}' must be a string.")
    return value


def optional_text(args: Mapping[str, JSON], name: str) -> str | None:
    """Return a string, None when it is not given."""
    return None if args.get(name) is None else text(args, name)


def texts(args: Mapping[str, JSON], name: str) -> tuple[str, ...]:
    """Return a list of strings that must be given."""
    value = args.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"Argument '{name}' must be a list of strings.")
    return tuple(str(item) for item in value)


def limit(args: Mapping[str, JSON]) -> int:
    """Return the size of a page, 1 or more; all when it is not given."""
    value = args.get("limit")
    if value is None:
        return MAX_PAGE
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput("Argument 'limit' must be a positive integer.")
    return min(value, MAX_PAGE)


def mapping(args: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """Return an object, empty when it is not given."""
    value = args.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"Argument '{name}' must be an object.")
    return value


def databases(args: Mapping[str, JSON]) -> tuple[Database, ...]:
    """Return databases, none when not given. Each is an object with name, character_set and collate."""
    return tuple(
        Database(
            name=text(item, "name"), character_set=optional_text(item, "character_set"), collate=optional_text(item, "collate")
        )
        for item in objects(args, "databases")
    )


def users(args: Mapping[str, JSON]) -> tuple[User, ...]:
    """Return users, none when not given. Each is an object with name, host, password and databases (names)."""
    return tuple(
        User(
            name=text(item, "name"),
            host=optional_text(item, "host") or "%",
            password=optional_text(item, "password"),
            databases=texts(item, "databases") if item.get("databases") else (),
        )
        for item in objects(args, "users")
    )


def membership(args: Mapping[str, JSON]) -> Membership:
    """Return what a guest is told of its cluster."""
    return Membership(
        cluster_id=text(args, "cluster_id"),
        cluster_name=text(args, "cluster_name"),
        member_id=text(args, "member_id"),
        founder=args.get("founder") is True,
        secret=optional_text(args, "secret"),
        peers=tuple(
            Peer(
                id=text(peer, "id"),
                name=text(peer, "name"),
                type=text(peer, "type"),
                host=text(peer, "host"),
                port=_number(peer, "port"),
            )
            for peer in objects(args, "peers")
        ),
    )


def _number(args: Mapping[str, JSON], name: str) -> int:
    value = args.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"Argument '{name}' must be a number.")
    return value


def objects(args: Mapping[str, JSON], name: str) -> list[Mapping[str, JSON]]:
    """Return a list of objects, empty when it is not given."""
    value = args.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise InvalidInput(f"Argument '{name}' must be a list of objects.")
    return [item for item in value if isinstance(item, Mapping)]
