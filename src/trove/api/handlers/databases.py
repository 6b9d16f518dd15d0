"""Databases on an instance."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from trove.api import query
from trove.api.request import Request
from trove.api.views.databases import named
from trove.core.accounts import Database
from trove.core.errors import InvalidInput, Unsupported
from trove.core.json import JSON
from trove.operations.database import create as create_databases
from trove.operations.database import delete as delete_database
from trove.operations.database import index as list_databases


def create(request: Request) -> None:
    """Create databases; those of openstacksdk come singly under `database`."""
    body: Mapping[str, Any] = request.body
    if "databases" not in body and "database" not in body:
        raise InvalidInput("Validation error: the request body needs the property 'databases'.")
    wanted = [*body.get("databases", ()), *([body["database"]] if "database" in body else [])]
    create_databases.start(request.doors, request.caller, request.instance_id(), databases_of(wanted))


def index(request: Request) -> JSON:
    """List databases by name."""
    limit = query.limit(request.query, request.settings.databases_page_size)
    page = list_databases.start(
        request.doors, request.caller, request.instance_id(), limit=limit, marker=name_marker(request.query)
    )
    return request.links.page("databases", named(item.name for item in page.items), quoted(page.next_marker), limit)


def show(_request: Request) -> NoReturn:
    """Refuse, as the contract says."""
    raise Unsupported("A single database cannot be shown; list the databases of the instance.")


def delete(request: Request) -> None:
    """Drop a database."""
    delete_database.start(request.doors, request.caller, request.instance_id(), request.path["name"])


def databases_of(given: Iterable[Mapping[str, Any]]) -> tuple[Database, ...]:
    """Return databases from a body that has passed its schema."""
    return tuple(
        Database(name=each["name"], character_set=each.get("character_set") or None, collate=each.get("collate") or None)
        for each in given
    )


def names_of(given: Iterable[Mapping[str, Any] | str]) -> tuple[str, ...]:
    """Return names from a list of `{"name": …}` or of plain names."""
    return tuple(each if isinstance(each, str) else each["name"] for each in given)


def name_marker(given: Mapping[str, str]) -> str | None:
    """Return a marker that is a name; it is percent-encoded once more than the query, as python-troveclient needs it."""
    marker = query.marker(given)
    return None if marker is None else unquote(marker)


def quoted(marker: str | None) -> str | None:
    """Return the next marker in the form that `name_marker` reads."""
    return None if marker is None else quote(marker, safe="")
