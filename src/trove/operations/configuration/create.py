"""Create a configuration group for a datastore version."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trove.core.callers import Caller
from trove.core.configurations import Configuration
from trove.core.json import JSON
from trove.operations.doors import Doors
from trove.operations.notifications.lifecycle import notified
from trove.operations.parameter.catalogue import checked
from trove.store import configurations, datastores
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateConfiguration:
    """What the tenant asked for. The version may be inactive; without one it is the default."""

    name: str
    values: Mapping[str, JSON] = field(repr=False)
    description: str | None = None
    datastore_type: str | None = None
    datastore_version: str | None = None
    datastore_version_number: str | None = None


@notified(
    "configuration.create",
    lambda request: {
        "name": request.name,
        "datastore": request.datastore_type,
        "datastore_version": request.datastore_version,
    },
    resulting=lambda made: {"configuration_id": made.id},
)
def start(doors: Doors, caller: Caller, request: CreateConfiguration) -> Configuration:
    """Store the group, whose values were all found good.

    Raises `NotFound` (datastore, version), `InvalidInput` without a usable default, `Unprocessable` naming each wrong value.
    """
    return doors.database.run(_create, doors, caller, request)


def _create(tx: Tx, doors: Doors, caller: Caller, request: CreateConfiguration) -> Configuration:
    version = datastores.resolve(
        tx,
        type=request.datastore_type,
        version=request.datastore_version,
        number=request.datastore_version_number,
        default_datastore=doors.settings.default_datastore,
        allow_inactive=True,
    )
    return configurations.insert(
        tx,
        project_id=caller.project_id,
        name=request.name,
        description=request.description,
        version_id=version.id,
        values=checked(tx, version, request.values),
    )
