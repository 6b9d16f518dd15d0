"""Which flavors and volume types instances of a datastore version may have: those that administrators bound to it, if any."""

from trove.core.errors import InvalidInput
from trove.operations.doors import Doors
from trove.store import offers
from trove.store.offers import Offer


def need_offered(doors: Doors, version_id: str, *, flavor_id: str | None = None, volume_type: str | None = None) -> None:
    """Raise `InvalidInput` naming what may be had instead, unless the version may use what is given."""
    with doors.database.reading() as tx:
        bound = offers.of_version(tx, version_id)
    for offer, field, wanted in (
        (Offer.FLAVOR, "flavorRef: flavor", flavor_id),
        (Offer.VOLUME_TYPE, "volume: type", volume_type),
    ):
        allowed = bound.get(offer)
        if wanted is not None and allowed is not None and wanted not in allowed:
            raise InvalidInput(
                f"{field} {wanted} is not for this datastore version, which may have: {', '.join(sorted(allowed))}"
            )
