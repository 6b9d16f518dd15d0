"""Rows that many tests of the store begin with."""

from datetime import timedelta
from typing import Any

from trove.core.clock import utcnow
from trove.core.datastores import DatastoreVersion
from trove.core.ids import new_id
from trove.core.instances import Instance, NewInstance
from trove.core.operations import NewOperation, Operation
from trove.store import datastores, instances, operations
from trove.store.session import Database


def add_version(database: Database, name: str = "10.11", **values: Any) -> DatastoreVersion:
    """Store an active version of the datastore mariadb."""
    with database.transaction() as tx:
        datastores.put_datastore(tx, "mariadb")
        return datastores.put_version(tx, "mariadb", name, **{"manager": "mariadb", **values})


def add_instance(database: Database, version: DatastoreVersion, **values: Any) -> Instance:
    """Store an instance of project `p`."""
    with database.transaction() as tx:
        return instances.insert(tx, new_instance(version, **values))


def new_instance(version: DatastoreVersion, **values: Any) -> NewInstance:
    """Return an instance of project `p` to be stored."""
    common: dict[str, Any] = {
        "id": new_id(),
        "name": "orders",
        "project_id": "p",
        "flavor_id": "2",
        "ram_mib": 512,
        "datastore_version_id": version.id,
        "key": b"k" * 32,
        "volume_size_gib": 3,
    }
    return NewInstance(**{**common, **values})


def add_operation(database: Database, **values: Any) -> Operation:
    """Store an operation of project `p`."""
    common: dict[str, Any] = {
        "id": new_id(),
        "kind": "instance.create",
        "resource_type": "instance",
        "resource_id": new_id(),
        "project_id": "p",
        "user_id": "u",
        "request_id": "req-1",
        "deadline": utcnow() + timedelta(minutes=30),
    }
    with database.transaction() as tx:
        return operations.insert(tx, NewOperation(**{**common, **values}))
