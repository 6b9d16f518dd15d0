"""Guests that lost their way onto the bus, for instance because the broker lost its users."""

import logging

from trove.core.orphans import HeldKind
from trove.operations.reconcile.round import Round
from trove.store import census

LOG = logging.getLogger(__name__)


def readmit(this: Round) -> None:
    """Let guests of instances at rest onto the bus again whose users were missing in two rounds."""
    users = this.survey.held.get(HeldKind.BUS_USER)
    if users is None:
        return
    with this.doors.database.reading() as tx:
        missing = census.with_server(tx) - users
    again = [one for one in sorted(missing) if this.memory.seen_twice(("locked out", one))][: this.settings.batch]
    if again:
        this.doors.admission.readmit(again)
        LOG.warning("The bus had lost the users of %d guests, which are let in again: %s …", len(again), again[0])
        this.count("guests readmitted", len(again))
