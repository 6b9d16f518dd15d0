"""Datastore versions for administrators (contract 13.7)."""

from collections.abc import Mapping
from typing import Any

from trove.api.request import Request
from trove.api.views.mgmt import version as view
from trove.core.json import JSON
from trove.operations.datastore import create_version, delete_version, update_version
from trove.store import datastores

_FIELDS: Mapping[str, str] = {
    "name": "name",
    "datastore_manager": "manager",
    "active": "active",
    "registry_ext": "registry_ext",
    "repl_strategy": "repl_strategy",
}
"""Fields of a change that are stored as they come, and their names there."""


def index(request: Request) -> JSON:
    """List all versions of all datastores, inactive ones too."""
    with request.doors.database.reading() as tx:
        found = datastores.all(tx, include_inactive=True)
    return {"versions": [view(each, default=each.id == owner.default_version_id) for owner in found for each in owner.versions]}


def show(request: Request) -> JSON:
    """Show a version."""
    with request.doors.database.reading() as tx:
        found = datastores.version_by_id(tx, _version_id(request))
        owner = datastores.get(tx, found.datastore_id)
    return {"version": view(found, default=found.id == owner.default_version_id)}


def create(request: Request) -> None:
    """Store a new version, and its datastore if that is new."""
    wanted: Mapping[str, Any] = request.body["version"]
    create_version.start(
        request.doors,
        request.caller,
        create_version.CreateVersion(
            datastore=wanted["datastore_name"],
            name=wanted["name"],
            manager=wanted["datastore_manager"],
            active=wanted["active"],
            version=wanted.get("version") or None,
            image_id=wanted.get("image") or None,
            image_tags=_texts(wanted.get("image_tags")),
            packages=_texts(wanted.get("packages")),
            default=bool(wanted.get("default")),
            registry_ext=wanted.get("registry_ext") or None,
            repl_strategy=wanted.get("repl_strategy") or None,
        ),
    )


def update(request: Request) -> None:
    """Change what the body names."""
    wanted: Mapping[str, Any] = request.body
    values = {column: wanted[field] for field, column in _FIELDS.items() if field in wanted}
    if "image" in wanted:
        values["image_id"] = wanted["image"] or None
    if wanted.get("image_tags") is not None:
        values["image_tags"] = _texts(wanted["image_tags"])
    if wanted.get("packages") is not None:
        values["packages"] = ",".join(_texts(wanted["packages"]))
    update_version.start(request.doors, request.caller, _version_id(request), values, default=wanted.get("default"))


def delete(request: Request) -> None:
    """Remove a version that nothing uses."""
    delete_version.start(request.doors, request.caller, _version_id(request))


def _version_id(request: Request) -> str:
    return request.id("version_id", "Datastore version")


def _texts(given: Any) -> tuple[str, ...]:
    """Return a list without its empty texts, which clients send for none."""
    return tuple(text.strip() for text in given or () if text.strip())
