"""Take a parameter from a datastore version, also one that its engine ships. Groups that exist keep their values."""

from trove.operations.doors import Doors
from trove.operations.parameter.catalogue import find, shipped
from trove.store import datastores, parameters
from trove.store.session import Tx


def start(doors: Doors, version_id: str, name: str) -> None:
    """Remove it. Raises `NotFound` (version, parameter).

    A shipped one comes back when it is added again, or with `trove-manage db_remove_datastore_config_parameters`.
    """
    doors.database.run(_remove, version_id, name)


def _remove(tx: Tx, version_id: str, name: str) -> None:
    version = datastores.version_by_id(tx, version_id)
    found = find(tx, version, name)
    is_shipped = any(each.name == found.name for each in shipped(version))
    parameters.remove(tx, version.id, found.name, shipped=is_shipped)
