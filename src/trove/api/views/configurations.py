"""How configuration groups look (contract 9). Values that look like secrets are masked."""

from trove.core.clock import wire_time
from trove.core.configurations import Attached, Configuration
from trove.core.json import JSON
from trove.core.parameters import MASK, looks_secret


def summary(group: Configuration) -> dict[str, JSON]:
    """Return the fields of a list."""
    version = group.datastore_version
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "created": wire_time(group.created),
        "updated": wire_time(group.updated),
        "datastore_name": version.datastore_name,
        "datastore_version_id": version.id,
        "datastore_version_name": version.name,
    }


def detail(group: Configuration) -> dict[str, JSON]:
    """Return the fields of one that is shown."""
    return {
        **summary(group),
        "values": {key: MASK if looks_secret(key) else value for key, value in group.values.items()},
        "instance_count": group.instance_count,
        "datastore_version_number": group.datastore_version.version,
    }


def instance(attached: Attached) -> dict[str, JSON]:
    """Return an instance that a group is attached to."""
    return {"id": attached.id, "name": attached.name}
