"""How datastores and their versions look (contract 5.1)."""

from trove.api.links import Links
from trove.core.datastores import Datastore, DatastoreVersion
from trove.core.json import JSON


def datastore(found: Datastore, links: Links, *, is_admin: bool, inactive: bool) -> dict[str, JSON]:
    """Return a datastore with its versions, the inactive ones when asked for."""
    view: dict[str, JSON] = {
        "id": found.id,
        "name": found.name,
        "links": links.of("datastores", found.id),
        "versions": [
            version(each, links, is_admin=is_admin, nested=True) for each in found.versions if inactive or each.active
        ],
    }
    if found.default_version_id:
        view["default_version"] = found.default_version_id
    return view


def version(found: DatastoreVersion, links: Links, *, is_admin: bool, nested: bool = False) -> dict[str, JSON]:
    """Return a version; one that stands alone names its datastore."""
    view: dict[str, JSON] = {
        "id": found.id,
        "name": found.name,
        "version": found.version,
        "links": links.of("datastores/versions", found.id),
    }
    if not nested:
        view["datastore"] = found.datastore_id
    if is_admin:
        view |= {
            "active": found.active,
            "packages": found.packages,
            "image": found.image_id,
            "image_tags": list(found.image_tags),
            "registry_ext": found.registry_ext,
            "repl_strategy": found.repl_strategy,
        }
    return view


def volume_type(name: str) -> dict[str, JSON]:
    """Return a volume type (contract 4.2)."""
    return {"id": name, "name": name, "is_public": True, "description": None}
