"""Who uses what, as the key manager is told: a courtesy to whoever is about to delete a secret. Nothing waits for it."""

import logging
from collections.abc import Mapping

from trove.cloud.contract import KeyToken
from trove.core.errors import TroveError
from trove.operations.doors import Doors
from trove.store import tls

LOG = logging.getLogger(__name__)


def exchange(doors: Doors, token: KeyToken | None, *, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Tell that instances use what `after` names for each, instead of what `before` does. What fails is logged.

    A key manager that does not answer is asked no further.
    """
    if doors.keys is None or token is None:
        return
    told = [(doors.keys.remove_consumer, each, ref) for each, ref in before.items() if after.get(each) != ref]
    told += [(doors.keys.add_consumer, each, ref) for each, ref in after.items()]
    for tell, instance_id, ref in told:
        try:
            tell(token, ref, instance_id)
        except TroveError as error:
            LOG.warning("The key manager cannot be told who uses a secret of instance %s: %s", instance_id, error.message)
            if error.retryable:
                return


def used_by(doors: Doors, instance_id: str) -> Mapping[str, str]:
    """Return what an instance uses, by its id; nothing where it has no TLS."""
    with doors.database.reading() as tx:
        return tls.refs(tx, [instance_id])
