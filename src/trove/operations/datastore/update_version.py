"""Change a version of a datastore. Instances that were made from it stay as they are."""

import logging
from collections.abc import Mapping
from typing import Any

from trove.core.callers import Caller
from trove.core.errors import InvalidInput
from trove.datastores import registry
from trove.operations.datastore.images import need_image
from trove.operations.doors import Doors
from trove.store import datastores
from trove.store.session import Tx

LOG = logging.getLogger(__name__)


def start(doors: Doors, caller: Caller, version_id: str, values: Mapping[str, Any], *, default: bool | None) -> None:
    """Replace what `values` names: `name`, `manager`, `active`, `image_id`, `image_tags`, `packages` and so on.

    Tags without an image take the image's place. `default` makes it the datastore's default, or no more; None leaves that.
    Raises `NotFound`; `InvalidInput` for an unknown manager or image, a name that is taken, or another manager for a version
    that is in use.
    """
    changes = dict(values)
    with doors.database.reading() as tx:
        found = datastores.version_by_id(tx, version_id)
    if changes.get("manager", found.manager) != found.manager:
        registry.spec(changes["manager"])
    if "image_id" in changes or "image_tags" in changes:
        if changes.get("image_tags") and not changes.get("image_id"):
            changes["image_id"] = None
        image_id, tags = changes.get("image_id", found.image_id), changes.get("image_tags", found.image_tags)
        need_image(doors, image_id, tags)
    doors.database.run(_update, version_id, changes, default)
    named = ", ".join(sorted([*changes, *(["default"] if default is not None else [])]))
    LOG.info("Audit: user %s changed %s of datastore version %s", caller.user_id, named, version_id)


def _update(tx: Tx, version_id: str, changes: Mapping[str, Any], default: bool | None) -> None:
    found = datastores.version_by_id(tx, version_id)
    if changes.get("manager", found.manager) != found.manager and datastores.in_use(tx, version_id):
        raise InvalidInput(f"datastore_manager: version {found.name} is in use, and its engine cannot become another one")
    datastores.change_version(tx, version_id, changes)
    if default is not None:
        datastores.set_default(tx, found, default=default)
