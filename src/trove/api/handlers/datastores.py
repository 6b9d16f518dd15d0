"""Datastores and their versions."""

from trove.api.request import Request
from trove.api.views import datastores as views
from trove.api.views.flavors import flavor as flavor_view
from trove.core.datastores import Datastore, DatastoreVersion
from trove.core.errors import NotFound
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.operations.datastore import delete as delete_datastore
from trove.store import datastores, offers
from trove.store.offers import Offer


def index(request: Request) -> JSON:
    """List datastores that have an active version; administrators see all."""
    is_admin = request.caller.is_admin
    with request.doors.database.reading() as tx:
        found = datastores.all(tx, include_inactive=is_admin)
    return {"datastores": [views.datastore(each, request.links, is_admin=is_admin, inactive=is_admin) for each in found]}


def show(request: Request) -> JSON:
    """Show a datastore with its active versions."""
    found = _datastore(request)
    return {"datastore": views.datastore(found, request.links, is_admin=request.caller.is_admin, inactive=False)}


def versions(request: Request) -> JSON:
    """List a datastore's versions; administrators see the inactive ones too."""
    is_admin = request.caller.is_admin
    found = [each for each in _datastore(request).versions if each.active or is_admin]
    return {"versions": [views.version(each, request.links, is_admin=is_admin) for each in found]}


def version(request: Request) -> JSON:
    """Show a version, found by id or name."""
    return {"version": views.version(_version(request), request.links, is_admin=request.caller.is_admin)}


def version_by_id(request: Request) -> JSON:
    """Show a version, found by its id alone."""
    return {"version": views.version(_version_by_id(request), request.links, is_admin=request.caller.is_admin)}


def delete(request: Request) -> None:
    """Remove a datastore that has no versions."""
    delete_datastore.start(request.doors, request.caller, request.path["datastore"])


def flavors(request: Request) -> JSON:
    """List the flavors a version may use: those bound to it, or all."""
    bound = _bound(request, Offer.FLAVOR)
    found = [each for each in request.flavors.all() if bound is None or each.id in bound]
    return {"flavors": [flavor_view(each, request.links) for each in found]}


def volume_types(request: Request) -> JSON:
    """List the volume types a version may use: those bound to it, or all."""
    bound = _bound(request, Offer.VOLUME_TYPE)
    found = [name for name in request.doors.cloud.volume_types() if bound is None or name in bound]
    return {"volume_types": [views.volume_type(name) for name in found]}


def _bound(request: Request, offer: Offer) -> frozenset[str] | None:
    """Return what is bound to the version, None when nothing is."""
    with request.doors.database.reading() as tx:
        return offers.of_version(tx, _version(request).id).get(offer)


def _datastore(request: Request) -> Datastore:
    with request.doors.database.reading() as tx:
        return datastores.get(tx, request.path["datastore"])


def _version(request: Request) -> DatastoreVersion:
    with request.doors.database.reading() as tx:
        return datastores.version(tx, request.path["datastore"], request.path["version"])


def _version_by_id(request: Request) -> DatastoreVersion:
    text = request.path["version_id"]
    if not is_id(text):
        raise NotFound(f"Datastore version {text[:100]} not found.")
    with request.doors.database.reading() as tx:
        return datastores.version_by_id(tx, text.lower())
