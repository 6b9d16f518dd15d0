"""Datastores on offer and their versions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, false, select, update

from trove.core import errors
from trove.core.datastores import Datastore, DatastoreVersion
from trove.core.ids import is_id, new_id
from trove.store.session import Tx
from trove.store.tables import backups, clusters, configurations, datastore_versions, datastores, instances
from trove.store.upserts import insert_missing

VERSION_COLUMNS = (
    datastore_versions.c.id,
    datastore_versions.c.datastore_id,
    datastores.c.name,
    datastore_versions.c.name,
    datastore_versions.c.version,
    datastore_versions.c.manager,
    datastore_versions.c.active,
    datastore_versions.c.image_id,
    datastore_versions.c.image_tags,
    datastore_versions.c.packages,
    datastore_versions.c.registry_ext,
    datastore_versions.c.repl_strategy,
)
_VERSIONS = (
    select(*VERSION_COLUMNS)
    .select_from(datastore_versions.join(datastores, datastores.c.id == datastore_versions.c.datastore_id))
    .order_by(datastore_versions.c.name, datastore_versions.c.version)
)


_USERS: Mapping[sa.Table, str] = {
    instances: "instances",
    clusters: "clusters",
    backups: "backups",
    configurations: "configuration groups",
}


class VersionRows:
    """Turns rows that end in `VERSION_COLUMNS` into `DatastoreVersion`, one object for equal ids."""

    def __init__(self) -> None:
        self._known: dict[str, DatastoreVersion] = {}

    def read(self, row: Sequence[Any]) -> DatastoreVersion:
        """Return the version in `row`, whose columns are `VERSION_COLUMNS`."""
        found = self._known.get(row[0])
        if found is None:
            found = self._known[row[0]] = _version(row)
        return found


def all(tx: Tx, *, include_inactive: bool = False) -> tuple[Datastore, ...]:  # noqa: A001
    """Return the datastores by name, with their versions by name and number.

    Without `include_inactive`: only active versions, and only datastores that have one.
    """
    versions: dict[str, list[DatastoreVersion]] = {}
    for row in tx.execute(_VERSIONS):
        version = _version(row)
        if version.active or include_inactive:
            versions.setdefault(version.datastore_id, []).append(version)
    found = [_datastore(row, versions.get(row.id, ())) for row in tx.execute(select(datastores).order_by(datastores.c.name))]
    return tuple(datastore for datastore in found if include_inactive or datastore.versions)


def get(tx: Tx, id_or_name: str) -> Datastore:
    """Return a datastore with all its versions, active or not. Raises `NotFound`."""
    row = tx.execute(select(datastores).where(_named(datastores, id_or_name))).first()
    if row is None:
        raise errors.NotFound(f"Datastore {id_or_name} was not found.")
    versions = tx.execute(_VERSIONS.where(datastore_versions.c.datastore_id == row.id))
    return _datastore(row, [_version(version) for version in versions])


def version(tx: Tx, datastore: str | Datastore, id_or_name: str, *, number: str | None = None) -> DatastoreVersion:
    """Return a version, active or not, of a datastore. `number` narrows a name and is ignored beside an id.

    Raises `NotFound`; `InvalidInput` when several versions have the name.
    """
    if isinstance(datastore, str):
        datastore = get(tx, datastore)
    return _choose(datastore, id_or_name, number)


def version_by_id(tx: Tx, version_id: str) -> DatastoreVersion:
    """Return a version, active or not. Raises `NotFound`."""
    row = tx.execute(_VERSIONS.where(datastore_versions.c.id == version_id)).first()
    if row is None:
        raise errors.NotFound(f"Datastore version {version_id} was not found.")
    return _version(row)


def resolve(
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002
    version: str | None = None,
    number: str | None = None,
    default_datastore: str | None = None,
    allow_inactive: bool = False,
) -> DatastoreVersion:
    """Return the version that a request means by `datastore: {type, version, version_number}` (contract 5.2).

    Raises `InvalidInput` without a usable default, for an ambiguous name or an inactive version; `NotFound` for a named thing
    that does not exist.
    """
    if type is None and default_datastore is None:
        raise errors.InvalidInput("No datastore was given, and no default datastore is configured.")
    try:
        datastore = get(tx, type if type is not None else str(default_datastore))
    except errors.NotFound:
        if type is not None:
            raise
        raise errors.InvalidInput(f"The default datastore {default_datastore} does not exist.") from None
    if version is not None:
        found = _choose(datastore, version, number)
    else:
        defaults = [each for each in datastore.versions if each.id == datastore.default_version_id]
        if not defaults:
            raise errors.InvalidInput(f"Datastore {datastore.name} has no default version; name a version.")
        found = defaults[0]
    if not found.active and not allow_inactive:
        raise errors.InvalidInput(f"Datastore version {found.name} of {datastore.name} is not active.")
    return found


def put_datastore(tx: Tx, name: str, default_version: str | None = None) -> Datastore:
    """Create the datastore if it is missing; set its default version (id or name) if one is given. May run twice."""
    row = tx.execute(select(datastores.c.id).where(datastores.c.name == name)).first()
    if row is None:
        tx.execute(insert_missing(tx.dialect, datastores), {"id": new_id(), "name": name})
    datastore = get(tx, name)
    if default_version is None:
        return datastore
    chosen = _choose(datastore, default_version, None)
    tx.execute(update(datastores).where(datastores.c.id == datastore.id).values(default_version_id=chosen.id))
    return replace(datastore, default_version_id=chosen.id)


def put_version(  # noqa: PLR0913
    tx: Tx,
    datastore: str,
    name: str,
    *,
    manager: str,
    version: str | None = None,
    active: bool = True,
    image_id: str | None = None,
    image_tags: Sequence[str] = (),
    packages: str = "",
    registry_ext: str | None = None,
    repl_strategy: str | None = None,
) -> DatastoreVersion:
    """Create or replace the version `name` with number `version` (default: the name) of a datastore (id or name).

    May run twice. Raises `NotFound` for an unknown datastore.
    """
    owner = get(tx, datastore)
    number = version or name
    values = {
        "manager": manager,
        "active": active,
        "image_id": image_id,
        "image_tags": ",".join(image_tags),
        "packages": packages,
        "registry_ext": registry_ext,
        "repl_strategy": repl_strategy,
    }
    known = [each.id for each in owner.versions if (each.name, each.version) == (name, number)]
    if known:
        tx.execute(update(datastore_versions).where(datastore_versions.c.id == known[0]).values(**values))
        return version_by_id(tx, known[0])
    version_id = new_id()
    row = {"id": version_id, "datastore_id": owner.id, "name": name, "version": number, **values}
    tx.execute(sa.insert(datastore_versions), row)
    return version_by_id(tx, version_id)


def renumber_version(tx: Tx, version_id: str, number: str) -> None:
    """Give a version another number, for instance after its packages were upgraded; instances of it show that one then.

    May run twice. Raises `Conflict` when another version has this name and number.
    """
    found = version_by_id(tx, version_id)
    twins = select(datastore_versions.c.id).where(
        datastore_versions.c.datastore_id == found.datastore_id,
        datastore_versions.c.name == found.name,
        datastore_versions.c.version == number,
        datastore_versions.c.id != version_id,
    )
    if tx.execute(twins).first() is not None:
        raise errors.Conflict(f"Datastore {found.datastore_name} has another version {found.name} with number {number}.")
    tx.execute(update(datastore_versions).where(datastore_versions.c.id == version_id).values(version=number))


def delete_datastore(tx: Tx, id_or_name: str) -> None:
    """Remove a datastore. Raises `NotFound`; `InvalidInput` while it has versions."""
    datastore = get(tx, id_or_name)
    if datastore.versions:
        raise errors.InvalidInput(f"Datastore {datastore.name} still has versions.")
    tx.execute(delete(datastores).where(datastores.c.id == datastore.id))


def add_version(tx: Tx, datastore: str, name: str, version: str | None, **values: Any) -> DatastoreVersion:
    """Store a new version as `put_version` does, and its datastore (a name) if that is missing.

    Raises `InvalidInput` when it has a version of this name and number.
    """
    number = version or name
    owner_id = put_datastore(tx, datastore).id
    # Held, so that nobody adds the same one meanwhile.
    tx.execute(select(datastores.c.id).where(datastores.c.id == owner_id).with_for_update())
    owner = get(tx, owner_id)
    _need_unique(owner, name, number)
    return put_version(tx, owner.id, name, version=number, **values)


def change_version(tx: Tx, version_id: str, values: Mapping[str, Any]) -> None:
    """Replace some of `name`, `manager`, `active`, `image_id`, `image_tags`, `packages`, `registry_ext`, `repl_strategy`.

    May run twice. Raises `NotFound`; `InvalidInput` when another version has the name and this one's number.
    """
    found = version_by_id(tx, version_id)
    if values.get("name", found.name) != found.name:
        _need_unique(get(tx, found.datastore_id), values["name"], found.version)
    columns = {**values, **({"image_tags": ",".join(values["image_tags"])} if "image_tags" in values else {})}
    if columns:
        tx.execute(update(datastore_versions).where(datastore_versions.c.id == version_id).values(**columns))


def set_default(tx: Tx, found: DatastoreVersion, *, default: bool) -> None:
    """Make a version the default of its datastore; or, where it is that, leave the datastore without one. May run twice."""
    mine = update(datastores).where(datastores.c.id == found.datastore_id)
    if default:
        tx.execute(mine.values(default_version_id=found.id))
    else:
        tx.execute(mine.where(datastores.c.default_version_id == found.id).values(default_version_id=None))


def in_use(tx: Tx, version_id: str) -> tuple[str, ...]:
    """Return what kinds of things use a version, such as `instances`; nothing when it may be removed."""
    found = []
    for table, users in _USERS.items():
        used = select(table.c.id).where(table.c.datastore_version_id == version_id, table.c.deleted == false())
        if tx.execute(used.limit(1)).first() is not None:
            found.append(users)
    return tuple(found)


def delete_version(tx: Tx, version_id: str) -> None:
    """Remove a version with its parameters and offers.

    Raises `NotFound`; `InvalidInput` while an instance, a cluster, a backup or a configuration group uses it.
    """
    # Locked, so that nothing begins to use it meanwhile.
    tx.execute(select(datastore_versions.c.id).where(datastore_versions.c.id == version_id).with_for_update())
    found = version_by_id(tx, version_id)
    users = in_use(tx, version_id)
    if users:
        raise errors.InvalidInput(f"Datastore version {found.name} is used by {' and '.join(users)}.")
    unset = update(datastores).where(datastores.c.default_version_id == version_id).values(default_version_id=None)
    tx.execute(unset)
    tx.execute(delete(datastore_versions).where(datastore_versions.c.id == version_id))


def _need_unique(owner: Datastore, name: str, number: str) -> None:
    if (name, number) in [(each.name, each.version) for each in owner.versions]:
        raise errors.InvalidInput(f"Datastore {owner.name} has a version {name} with number {number} already.")


def _named(table: sa.Table, id_or_name: str) -> sa.ColumnElement[bool]:
    # A name may look like an id, so both are tried.
    return (table.c.id == id_or_name) | (table.c.name == id_or_name) if is_id(id_or_name) else table.c.name == id_or_name


def _choose(datastore: Datastore, id_or_name: str, number: str | None) -> DatastoreVersion:
    for each in datastore.versions:
        if each.id == id_or_name:
            return each
    named = [each for each in datastore.versions if each.name == id_or_name and number in {None, each.version}]
    if len(named) > 1:
        numbers = ", ".join(each.version for each in named)
        raise errors.InvalidInput(
            f"Datastore {datastore.name} has several versions {id_or_name}; give a version_number of: {numbers}."
        )
    if not named:
        which = id_or_name if number is None else f"{id_or_name} with number {number}"
        raise errors.NotFound(f"Version {which} of datastore {datastore.name} was not found.")
    return named[0]


def _datastore(row: Any, versions: Sequence[DatastoreVersion]) -> Datastore:
    return Datastore(id=row.id, name=row.name, default_version_id=row.default_version_id, versions=tuple(versions))


def _version(row: Sequence[Any]) -> DatastoreVersion:
    (
        version_id, datastore_id, datastore_name, name, number, manager, active, image_id, image_tags, packages, registry_ext,
        repl_strategy,
    ) = row  # fmt: skip
    return DatastoreVersion(
        id=version_id,
        datastore_id=datastore_id,
        datastore_name=datastore_name,
        name=name,
        version=number,
        manager=manager,
        active=active,
        image_id=image_id,
        image_tags=tuple(image_tags.split(",")) if image_tags else (),
        packages=packages,
        registry_ext=registry_ext,
        repl_strategy=repl_strategy,
    )
