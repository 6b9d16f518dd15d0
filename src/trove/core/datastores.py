"""Datastores (database engines) and their versions, as tenants see them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DatastoreVersion:
    """A version of a datastore. `version` is the precise number and distinguishes rows of one `name`.

    `manager` names the folder under `trove.datastores`.
    """

    id: str
    datastore_id: str
    datastore_name: str
    name: str
    version: str
    manager: str
    active: bool = True
    image_id: str | None = None
    image_tags: tuple[str, ...] = ()
    packages: str = ""
    registry_ext: str | None = None
    repl_strategy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    """A database engine on offer, with all its versions (active or not)."""

    id: str
    name: str
    default_version_id: str | None
    versions: tuple[DatastoreVersion, ...] = ()
