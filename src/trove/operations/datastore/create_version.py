"""Create a version of a datastore, and the datastore with its first version."""

import logging
from dataclasses import dataclass

from trove.core.callers import Caller
from trove.datastores import registry
from trove.operations.datastore.images import need_image
from trove.operations.doors import Doors
from trove.store import datastores
from trove.store.session import Tx

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVersion:
    """What the administrator asked for. Without a `version` (number) the name is one."""

    datastore: str
    name: str
    manager: str
    active: bool
    version: str | None = None
    image_id: str | None = None
    image_tags: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    default: bool = False
    registry_ext: str | None = None
    repl_strategy: str | None = None


def start(doors: Doors, caller: Caller, wanted: CreateVersion) -> None:
    """Store the version. Raises `InvalidInput`: unknown manager or image, or a version of this name and number is there."""
    registry.spec(wanted.manager)
    need_image(doors, wanted.image_id, wanted.image_tags)
    made = doors.database.run(_create, wanted)
    LOG.info("Audit: user %s created version %s of datastore %s: %s", caller.user_id, wanted.name, wanted.datastore, made)


def _create(tx: Tx, wanted: CreateVersion) -> str:
    made = datastores.add_version(
        tx,
        wanted.datastore,
        wanted.name,
        wanted.version,
        manager=wanted.manager,
        active=wanted.active,
        image_id=wanted.image_id,
        image_tags=wanted.image_tags,
        packages=",".join(wanted.packages),
        registry_ext=wanted.registry_ext,
        repl_strategy=wanted.repl_strategy,
    )
    if wanted.default:
        datastores.set_default(tx, made, default=True)
    return made.id
