"""Backup strategies."""

from trove.api.handlers import backup_strategies
from trove.api.routes.route import Route
from trove.api.schemas import backups as schemas

_PATH = "/backup_strategies"

ROUTES = (
    Route(
        "GET",
        _PATH,
        backup_strategies.index,
        "backup_strategy:index",
        query=schemas.STRATEGY_QUERY,
        answer=schemas.STRATEGIES,
        summary="List the containers chosen for backups.",
    ),
    Route(
        "POST",
        _PATH,
        backup_strategies.create,
        "backup_strategy:create",
        202,
        schemas.PUT_STRATEGY,
        answer=schemas.STRATEGY_SHOWN,
        summary="Choose the container for the backups of an instance, or of the whole project.",
    ),
    Route(
        "DELETE",
        _PATH,
        backup_strategies.delete,
        "backup_strategy:delete",
        202,
        query=schemas.STRATEGY_QUERY,
        summary="Delete the choice for an instance, or that for the whole project.",
    ),
)
