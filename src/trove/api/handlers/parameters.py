"""The parameters of a datastore version: what tenants may set, and what administrators make of it."""

from collections.abc import Mapping
from typing import Any

from trove.api.request import Request
from trove.api.views import parameters as views
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.core.parameters import Parameter, ParameterType
from trove.operations.parameter import define, remove
from trove.operations.parameter.catalogue import catalogue, find
from trove.store import datastores
from trove.store.session import Tx


def index(request: Request) -> JSON:
    """List the parameters of a version by name."""
    with request.doors.database.reading() as tx:
        version = _version(tx, request)
        found = catalogue(tx, version)
    return {"configuration-parameters": [views.parameter(each, version.id) for each in found.values()]}


def show(request: Request) -> JSON:
    """Show a parameter, found in any case of letters."""
    with request.doors.database.reading() as tx:
        version = _version(tx, request)
        return views.parameter(find(tx, version, request.path["name"]), version.id)


def mgmt_index(request: Request) -> JSON:
    """List the parameters of a version, for administrators."""
    with request.doors.database.reading() as tx:
        version = _version(tx, request)
        found = catalogue(tx, version)
    return {"configuration-parameters": [views.managed(each, version.id) for each in found.values()]}


def mgmt_show(request: Request) -> JSON:
    """Show a parameter to administrators."""
    return _managed(request, request.path["name"])


def mgmt_create(request: Request) -> JSON:
    """Add a parameter to a version."""
    wanted: Mapping[str, Any] = request.body["configuration-parameter"]
    define.add(request.doors, _version_id(request), _parameter(wanted["name"], wanted))
    return _managed(request, wanted["name"])


def mgmt_update(request: Request) -> JSON:
    """Say anew what a parameter is."""
    name, wanted = request.path["name"], request.body["configuration-parameter"]
    if wanted.get("name", name).lower() != name.lower():
        raise InvalidInput("The name of a configuration parameter cannot be changed: remove it, and add another one.")
    define.change(request.doors, _version_id(request), _parameter(name, wanted))
    return _managed(request, name)


def mgmt_delete(request: Request) -> None:
    """Take a parameter from a version."""
    remove.start(request.doors, _version_id(request), request.path["name"])


def _version(tx: Tx, request: Request) -> DatastoreVersion:
    """Return the version in the path: by its id alone, or by id or name below its datastore."""
    if "version_id" in request.path:
        return datastores.version_by_id(tx, _version_id(request))
    return datastores.version(tx, request.path["datastore"], request.path["version"])


def _version_id(request: Request) -> str:
    text = request.path["version_id"]
    if not is_id(text):
        raise NotFound(f"Datastore version {text[:100]} not found.")
    return text.lower()


def _managed(request: Request, name: str) -> JSON:
    with request.doors.database.reading() as tx:
        version = _version(tx, request)
        return views.managed(find(tx, version, name), version.id)


def _parameter(name: str, wanted: Mapping[str, Any]) -> Parameter:
    kind = ParameterType(wanted["data_type"])
    return Parameter(
        name=name,
        type=kind,
        restart_required=bool(wanted["restart_required"]),
        minimum=_bound(wanted, kind, "min"),
        maximum=_bound(wanted, kind, "max"),
    )


def _bound(wanted: Mapping[str, Any], kind: ParameterType, which: str) -> int | float | None:
    """Return a bound under either of its names."""
    given = wanted.get(f"{which}_size")
    if given is None:
        given = wanted.get(which)
    if given is None:
        return None
    try:
        return float(given) if kind is ParameterType.FLOAT else int(str(given))
    except (ValueError, OverflowError):
        number = "number that is not as large" if kind is ParameterType.FLOAT else "whole number"
        raise InvalidInput(f"{which}_size must be a {number} for a parameter of type {kind.value}.") from None
