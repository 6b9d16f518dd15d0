"""Users on an instance, and what they may use."""

from collections.abc import Iterable, Mapping
from typing import Any

from trove.api import query
from trove.api.handlers.databases import name_marker, names_of, quoted
from trove.api.request import Request
from trove.api.views.databases import named
from trove.api.views.users import user as view
from trove.core.accounts import User
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.operations.user import change_passwords as change_user_passwords
from trove.operations.user import create as create_users
from trove.operations.user import delete as delete_user
from trove.operations.user import grant_access as grant_user_access
from trove.operations.user import index as list_users
from trove.operations.user import list_access as list_user_access
from trove.operations.user import revoke_access as revoke_user_access
from trove.operations.user import show as show_user
from trove.operations.user import update as update_user

ANYWHERE = "%"


def create(request: Request) -> None:
    """Create users."""
    create_users.start(request.doors, request.caller, request.instance_id(), users_of(request.body["users"]))


def create_named(request: Request) -> None:
    """Create the one user that the path names, as openstacksdk asks for it."""
    given: dict[str, Any] = dict(request.body["users"])
    if given.setdefault("name", request.path["user"]) != request.path["user"]:
        raise InvalidInput("The name of the user in the path is not the one in the body.")
    create_users.start(request.doors, request.caller, request.instance_id(), users_of([given]))


def change_passwords(request: Request) -> None:
    """Change passwords of several users."""
    change_user_passwords.start(request.doors, request.caller, request.instance_id(), users_of(request.body["users"]))


def index(request: Request) -> JSON:
    """List users by name and host."""
    limit = query.limit(request.query, request.settings.users_page_size)
    page = list_users.start(
        request.doors, request.caller, request.instance_id(), limit=limit, marker=name_marker(request.query)
    )
    return request.links.page("users", [view(item) for item in page.items], quoted(page.next_marker), limit)


def show(request: Request) -> JSON:
    """Show a user."""
    name, host = _name_and_host(request)
    return {"user": view(show_user.start(request.doors, request.caller, request.instance_id(), name, host))}


def update(request: Request) -> None:
    """Change a user's name, host or password."""
    name, host = _name_and_host(request)
    wanted = {key: request.body["user"].get(key) for key in ("name", "host", "password")}
    if all(value is None for value in wanted.values()):
        raise InvalidInput("The user needs a name, a host or a password to change to.")
    change = update_user.UpdateUser(
        name=name, host=host, new_name=wanted["name"], new_host=wanted["host"], password=wanted["password"]
    )
    update_user.start(request.doors, request.caller, request.instance_id(), change)


def delete(request: Request) -> None:
    """Drop a user."""
    name, host = _name_and_host(request)
    delete_user.start(request.doors, request.caller, request.instance_id(), name, host)


def access(request: Request) -> JSON:
    """List the databases a user may use."""
    name, host = _name_and_host(request)
    return {"databases": named(list_user_access.start(request.doors, request.caller, request.instance_id(), name, host))}


def grant(request: Request) -> None:
    """Let a user use databases."""
    name, host = _name_and_host(request)
    databases = names_of(request.body["databases"])
    grant_user_access.start(request.doors, request.caller, request.instance_id(), User(name=name, host=host), databases)


def revoke(request: Request) -> None:
    """Take a user's access to a database away."""
    name, host = _name_and_host(request)
    database = request.path["database"]
    revoke_user_access.start(request.doors, request.caller, request.instance_id(), User(name=name, host=host), database)


def users_of(given: Iterable[Mapping[str, Any]]) -> tuple[User, ...]:
    """Return users from a body that has passed its schema."""
    return tuple(
        User(
            name=each["name"],
            host=each.get("host") or ANYWHERE,
            password=each["password"],
            databases=names_of(each.get("databases") or ()),
        )
        for each in given
    )


def _name_and_host(request: Request) -> tuple[str, str]:
    """Return what `name`, `name@host` or `name@` in the path means: the last `@` splits."""
    text = request.path["user"]
    name, at, host = text.rpartition("@")
    return (name, host or ANYWHERE) if at else (text, ANYWHERE)
