"""Datastores and their versions."""

from trove.api.handlers import datastores
from trove.api.routes.route import VERSION, VERSION_BY_ID, Route
from trove.api.schemas import datastores as schemas
from trove.api.schemas import flavors as flavor_schemas

_D = "/datastores/{datastore}"

ROUTES = (
    Route("GET", "/datastores", datastores.index, "datastore:index", answer=schemas.LIST, summary="List datastores."),
    Route("GET", _D, datastores.show, "datastore:show", answer=schemas.SHOWN, summary="Show a datastore, by id or name."),
    Route("DELETE", _D, datastores.delete, "datastore:delete", 202, summary="Delete a datastore that has no versions."),
    Route(
        "GET",
        f"{_D}/versions",
        datastores.versions,
        "datastore:version_index",
        answer=schemas.VERSIONS,
        summary="List the versions of a datastore.",
    ),
    Route(
        "GET",
        VERSION,
        datastores.version,
        "datastore:version_show",
        answer=schemas.VERSION_SHOWN,
        summary="Show a version, by id or name.",
    ),
    Route(
        "GET",
        f"{VERSION}/flavors",
        datastores.flavors,
        "datastore:list_associated_flavors",
        answer=flavor_schemas.LIST,
        summary="List the flavors that instances of a version may have.",
    ),
    Route(
        "GET",
        f"{VERSION}/volume-types",
        datastores.volume_types,
        "datastore:list_associated_volume_types",
        answer=schemas.VOLUME_TYPES,
        summary="List the volume types that instances of a version may have.",
    ),
    Route(
        "GET",
        VERSION_BY_ID,
        datastores.version_by_id,
        "datastore:version_show_by_uuid",
        answer=schemas.VERSION_SHOWN,
        summary="Show a version by its id.",
    ),
)
