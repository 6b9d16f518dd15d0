"""Operations."""

from trove.api.handlers import operations
from trove.api.routes.route import INSTANCE, Route
from trove.api.schemas import operations as bodies

ROUTES = (
    Route(
        "GET",
        f"{INSTANCE}/operations",
        operations.of_instance,
        "operation:index",
        query=bodies.OF_INSTANCE,
        answer=bodies.PAGE,
        summary="List the operations on an instance, newest first.",
    ),
    Route(
        "GET",
        "/operations",
        operations.index,
        "operation:index",
        query=bodies.LIST,
        answer=bodies.PAGE,
        summary="List the project's operations, newest first.",
    ),
    Route(
        "GET",
        "/operations/{operation_id}",
        operations.show,
        "operation:show",
        answer=bodies.SHOWN,
        summary="Show an operation.",
    ),
    Route(
        "POST",
        "/operations/{operation_id}/action",
        operations.action,
        None,
        202,
        bodies.ACTION,
        summary='Ask an operation to stop and undo what it did: `{"cancel": {}}`.',
    ),
)
