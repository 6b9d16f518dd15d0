"""The state database as trove-local needs it: migrated, with the datastores of this machine on offer, and read for `status`."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from trove.cloud.local.images.recipes import RECIPES
from trove.cloud.local.packages import HOST_IMAGE
from trove.cmd.local import settings
from trove.cmd.local.configure import database_url
from trove.cmd.local.layout import Layout, StackError
from trove.core.errors import TroveError
from trove.core.instances import Instance
from trove.store import datastores, instances, schema
from trove.store.session import Database, Tx
from trove.store.tables import metadata
from trove.store.vault import Vault


@contextmanager
def opened(layout: Layout) -> Iterator[Database]:
    """Open the stack's state database. Raises `StackError` when there is no stack or the key is missing."""
    chosen = settings.load(layout)
    if chosen is None:
        raise StackError(f"there is no stack in {layout.root}")
    try:
        database = Database(database_url(layout, chosen), vault=Vault.from_file(layout.keys / "vault.key", create=True))
    except (TroveError, ImportError) as error:
        raise StackError(f"the state database cannot be opened: {error}") from error
    try:
        yield database
    finally:
        database.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A datastore that this machine can run: `version` such as `10.11`, `number` such as `10.11.19`, None when unknown."""

    manager: str
    version: str
    number: str | None
    image_id: str = HOST_IMAGE


def prepare(layout: Layout, offers: Sequence[Offer]) -> None:
    """Bring the schema up to date and offer these datastores, and none from an image that is gone. May run twice."""
    with opened(layout) as database:
        try:
            schema.upgrade(database)
            for offer in offers:
                database.run(_offer, offer)
            database.run(_retire, {offer.image_id for offer in offers})
        except (TroveError, SQLAlchemyError) as error:
            raise StackError(f"the state database cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what the database server or its driver said; neither names a password."""
    return str(getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error)


def _offer(tx: Tx, offer: Offer) -> None:
    number = offer.number or offer.version
    named = [each for each in datastores.put_datastore(tx, offer.manager).versions if each.name == offer.version]
    ours = next((each for each in named if each.image_id == offer.image_id), None)
    if ours is not None and offer.number is None:
        number = ours.version
    elif ours is not None and number not in {each.version for each in named}:
        # The packages were upgraded since: it is the same version, its instances' too.
        datastores.renumber_version(tx, ours.id, number)
    offered = datastores.put_version(
        tx, offer.manager, offer.version, manager=offer.manager, version=number, image_id=offer.image_id
    )
    if offer.image_id == HOST_IMAGE or datastores.get(tx, offer.manager).default_version_id is None:
        datastores.put_datastore(tx, offer.manager, default_version=offered.id)


def _retire(tx: Tx, there: Collection[str]) -> None:
    """Offer no version any more whose image was removed. Its backups and parameters stay, and it comes back with the image."""
    for each in (version for datastore in datastores.all(tx) for version in datastore.versions):
        if each.image_id in RECIPES and each.image_id not in there:
            datastores.change_version(tx, each.id, {"active": False})


def living(layout: Layout) -> tuple[Instance, ...]:
    """Return all instances of all projects. Raises `StackError` when the state database does not answer."""
    with opened(layout) as database:
        try:
            with database.reading() as tx:
                return tuple(instances.get(tx, instance_id) for instance_id in sorted(instances.live_ids(tx)))
        except TroveError as error:
            raise StackError(f"the state database does not answer: {error}") from error


def drop_external(layout: Layout) -> list[str]:
    """Drop Trove's tables from a state database outside the state directory; return what went wrong, for people."""
    chosen = settings.load(layout)
    if chosen is None or chosen.database == settings.SQLITE:
        return []
    try:
        with opened(layout) as database, database.engine.begin() as connection:
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    except (StackError, SQLAlchemyError) as error:
        return [f"the tables in the external state database: {_reason(error)}"]
    return []
