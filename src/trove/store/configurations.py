"""Configuration groups, their values, and which instances have one attached."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, false, func, select, update

from trove.core import errors
from trove.core.clock import utcnow
from trove.core.configurations import Attached, Configuration
from trove.core.ids import new_id
from trove.core.json import JSON
from trove.core.pages import Page
from trove.core.parameters import looks_secret
from trove.store.datastores import VERSION_COLUMNS, VersionRows
from trove.store.session import Tx
from trove.store.tables import clusters, configuration_parameters, configurations, datastore_versions, datastores, instances
from trove.store.vault import Vault

_SEALED = "sealed"

_OWN = (
    configurations.c.id,
    configurations.c.name,
    configurations.c.description,
    configurations.c.tenant_id,
    configurations.c.created,
    configurations.c.updated,
)
_WHOLE = (
    select(*_OWN, *VERSION_COLUMNS)
    .select_from(
        configurations.join(datastore_versions, datastore_versions.c.id == configurations.c.datastore_version_id).join(
            datastores, datastores.c.id == datastore_versions.c.datastore_id
        )
    )
    .where(configurations.c.deleted == false())
)
_LIVE = (configurations.c.id == bindparam("wanted")) & (configurations.c.deleted == false())
_ONE = _WHOLE.where(configurations.c.id == bindparam("wanted"))
_HOLD = select(configurations.c.id).where(_LIVE).with_for_update()
_VALUES = select(configuration_parameters.c.key, configuration_parameters.c.value).where(
    configuration_parameters.c.configuration_id == bindparam("wanted")
)
_ATTACHED = (instances.c.configuration_id == bindparam("wanted")) & (instances.c.deleted == false())
_COUNT = select(func.count()).select_from(instances).where(_ATTACHED)


def insert(
    tx: Tx, *, project_id: str, name: str, description: str | None, version_id: str, values: Mapping[str, JSON]
) -> Configuration:
    """Store a new group of a datastore version that exists."""
    now, configuration_id = utcnow(), new_id()
    row = {
        "id": configuration_id,
        "created": now,
        "updated": now,
        "name": name,
        "description": description,
        "tenant_id": project_id,
        "datastore_version_id": version_id,
        "deleted": False,
    }
    tx.execute(sa.insert(configurations), row)
    _put_values(tx, configuration_id, values)
    return get(tx, configuration_id)


def get(tx: Tx, configuration_id: str, *, project_id: str | None = None) -> Configuration:
    """Return a group with its values. Raises `NotFound` when it is absent or not in `project_id` (None: any project)."""
    row = tx.execute(_ONE, {"wanted": configuration_id}).first()
    if row is None or (project_id is not None and row.tenant_id != project_id):
        raise errors.NotFound(f"Configuration group {configuration_id} was not found.")
    return _read(row, VersionRows(), values=values(tx, configuration_id), instance_count=_count(tx, configuration_id))


def hold(tx: Tx, configuration_id: str, *, project_id: str | None = None) -> Configuration:
    """Return a group as `get` does, and keep others from changing it, and what it is attached to, until `tx` ends."""
    tx.execute(_HOLD, {"wanted": configuration_id}).first()
    return get(tx, configuration_id, project_id=project_id)


def values(tx: Tx, configuration_id: str) -> Mapping[str, JSON]:
    """Return the values of a group by key; none when there is no such group."""
    found = {row.key: _opened(tx, row.value) for row in tx.execute(_VALUES, {"wanted": configuration_id})}
    return dict(sorted(found.items()))


def page(tx: Tx, *, project_id: str | None, limit: int, marker: str | None = None) -> Page[Configuration]:
    """Return groups of a project (None: of all), without values and counts, by id after the id `marker`, in one statement."""
    statement = _WHOLE.order_by(configurations.c.id).limit(limit + 1)
    if project_id is not None:
        statement = statement.where(configurations.c.tenant_id == project_id)
    if marker is not None:
        statement = statement.where(configurations.c.id > marker)
    versions = VersionRows()
    found = [_read(row, versions) for row in tx.execute(statement)]
    return Page(items=tuple(found[:limit]), next_marker=found[limit - 1].id if len(found) > limit else None)


def attached(tx: Tx, configuration_id: str, *, limit: int, marker: str | None = None) -> Page[Attached]:
    """Return the instances that a group is attached to, by id after the id `marker`."""
    statement = select(instances.c.id, instances.c.name).where(_ATTACHED).order_by(instances.c.id).limit(limit + 1)
    if marker is not None:
        statement = statement.where(instances.c.id > marker)
    found = [Attached(id=row.id, name=row.name) for row in tx.execute(statement, {"wanted": configuration_id})]
    return Page(items=tuple(found[:limit]), next_marker=found[limit - 1].id if len(found) > limit else None)


def attached_ids(tx: Tx, configuration_id: str) -> tuple[str, ...]:
    """Return the ids of all instances that a group is attached to, in order."""
    found = tx.execute(select(instances.c.id).where(_ATTACHED).order_by(instances.c.id), {"wanted": configuration_id})
    return tuple(found.scalars())


def change(
    tx: Tx, configuration_id: str, *, name: str | None, description: str | None, values: Mapping[str, JSON] | None
) -> None:
    """Set what is not None; `values` replaces all of them. May run twice."""
    given = {"name": name, "description": description}
    changed = {column: value for column, value in given.items() if value is not None}
    tx.execute(update(configurations).where(_LIVE).values(updated=utcnow(), **changed), {"wanted": configuration_id})
    if values is not None:
        _drop_values(tx, configuration_id)
        _put_values(tx, configuration_id, values)


def mark_deleted(tx: Tx, configuration_id: str) -> None:
    """Hide a group for good; its values go. Raises `InvalidInput` while it is attached. Call `hold` before."""
    using = [f"instance {each}" for each in attached_ids(tx, configuration_id)]
    of_clusters = select(clusters.c.id).where(clusters.c.configuration_id == configuration_id, clusters.c.deleted == false())
    using += [f"cluster {each}" for each in tx.execute(of_clusters).scalars()]
    if using:
        more = f" and {len(using) - 5} more" if len(using) > 5 else ""
        raise errors.InvalidInput(
            f"Configuration group {configuration_id} is attached to {', '.join(using[:5])}{more}; detach it first."
        )
    now = utcnow()
    gone = {"deleted": True, "deleted_at": now, "updated": now}
    tx.execute(update(configurations).where(_LIVE).values(**gone), {"wanted": configuration_id})
    _drop_values(tx, configuration_id)


def _put_values(tx: Tx, configuration_id: str, values: Mapping[str, JSON]) -> None:
    rows = [
        {"configuration_id": configuration_id, "key": key, "value": _stored(tx, key, value)}
        for key, value in sorted(values.items())
    ]
    if rows:
        tx.execute(sa.insert(configuration_parameters), rows)


def _stored(tx: Tx, key: str, value: JSON) -> str:
    """Return a value as its row holds it; what looks like a secret is sealed. No value itself is an object."""
    text = json.dumps(value)
    return json.dumps({_SEALED: tx.vault.seal(text.encode()).decode()}) if looks_secret(key) else text


def reseal(vault: Vault, stored: str) -> str | None:
    """Return a value that is sealed, sealed again; None for one that is not."""
    value: JSON = json.loads(stored)
    if not isinstance(value, dict):
        return None
    return json.dumps({_SEALED: vault.seal(vault.open(str(value[_SEALED]).encode())).decode()})


def _opened(tx: Tx, stored: str) -> JSON:
    value: JSON = json.loads(stored)
    if not isinstance(value, dict):
        return value
    opened: JSON = json.loads(tx.vault.open(str(value[_SEALED]).encode()))
    return opened


def _drop_values(tx: Tx, configuration_id: str) -> None:
    tx.execute(delete(configuration_parameters).where(configuration_parameters.c.configuration_id == configuration_id))


def _count(tx: Tx, configuration_id: str) -> int:
    return int(tx.execute(_COUNT, {"wanted": configuration_id}).scalar_one())


def _read(
    row: Any, versions: VersionRows, *, values: Mapping[str, JSON] | None = None, instance_count: int = 0
) -> Configuration:
    return Configuration(
        id=row[0],
        name=row[1],
        description=row[2],
        project_id=row[3],
        created=row[4],
        updated=row[5],
        datastore_version=versions.read(row[len(_OWN) :]),
        values=values or {},
        instance_count=instance_count,
    )
