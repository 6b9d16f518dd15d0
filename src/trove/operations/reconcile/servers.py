"""Servers that vanished, stopped or broke behind our back, and those that came back."""

import logging
from datetime import timedelta

from trove.core.census import Finder, Standing
from trove.core.errors import TroveError, Unavailable
from trove.core.orphans import HeldKind
from trove.core.status import ServerStatus
from trove.operations.reconcile.round import Round
from trove.store import census

LOG = logging.getLogger(__name__)

CURSOR = "servers"
TROUBLE = "server"

VANISHED = "The server vanished from the cloud. The service did not remove it; its operator may bring it back."
STOPPED = "The server was shut down in the cloud, not by this service."
BROKEN = "The server is in state {} in the cloud, which gives no reason."


def compare(this: Round) -> None:
    """Let the servers' statuses follow the cloud; trouble must be seen in two rounds, recovery is believed at once.

    Looked at are: the next page of all instances, those that an earlier round found in trouble, those whose guests are silent,
    and those that the cloud does not list. Raises `Unavailable` when the cloud goes away meanwhile: the rest waits.
    """
    if HeldKind.SERVER not in this.survey.held:
        return
    vanished = _vanished(this)
    for seen in _candidates(this, vanished):
        if this.stopping.is_set():
            return
        this.count("servers compared")
        try:
            _compare_one(this, seen, may_vanish=seen.instance_id in vanished)
        except Unavailable:
            raise
        except TroveError as error:
            LOG.warning("The server of instance %s cannot be compared: %s", seen.instance_id, error.message)
            this.count("comparisons failed")


def _vanished(this: Round) -> frozenset[str]:
    """Return the instances whose servers the cloud does not list; none when there are so many that the cloud must be wrong."""
    with this.doors.database.reading() as tx:
        expected = census.with_server(tx)
    vanished = expected - this.survey.held[HeldKind.SERVER]
    if len(vanished) > 1 and 100 * len(vanished) > this.settings.vanished_percent * len(expected):
        LOG.error(
            "The cloud lists %d of %d servers. That is not believed, and no instance is faulted for it; look at the cloud, or "
            "raise [reconciler] vanished_percent if they are really gone.",
            len(expected) - len(vanished),
            len(expected),
        )
        this.count("servers missing but not believed", len(vanished))
        return frozenset()
    return vanished


def _candidates(this: Round, vanished: frozenset[str]) -> tuple[Standing, ...]:
    batch = this.settings.batch
    expired = this.began - timedelta(seconds=this.doors.settings.heartbeat_expiry_s)
    with this.doors.database.reading() as tx:
        after = this.memory.cursors.get(CURSOR, "")
        page = census.page(tx, after=after, limit=batch)
        faulted = census.faulted(tx, Finder.SERVER, limit=batch)
        silent = [one.instance_id for one in census.silent(tx, before=expired, limit=batch)]
        suspects = this.memory.seen_before(TROUBLE)[:batch]
        known = {seen.instance_id for seen in (*page, *faulted)}
        others = census.standings(tx, {*silent, *suspects, *sorted(vanished)[:batch]} - known)
    this.memory.cursors[CURSOR] = page[-1].instance_id if len(page) == batch else ""
    return tuple({seen.instance_id: seen for seen in (*page, *faulted, *others)}.values())


def _compare_one(this: Round, seen: Standing, *, may_vanish: bool) -> None:
    server = this.doors.cloud.find_server(seen.instance_id)
    if server is None:
        if may_vanish:
            _trouble(this, seen, ServerStatus.ERROR, VANISHED, "servers vanished")
    elif server.status is ServerStatus.ACTIVE:
        _recovered(this, seen)
    elif server.status is ServerStatus.ERROR:
        _trouble(this, seen, ServerStatus.ERROR, server.fault or BROKEN.format(server.status.value), "servers broken")
    elif server.status is ServerStatus.SHUTDOWN:
        _trouble(this, seen, ServerStatus.SHUTDOWN, server.fault or STOPPED, "servers stopped")


def _trouble(this: Round, seen: Standing, status: ServerStatus, fault: str, what: str) -> None:
    if not this.memory.seen_twice((TROUBLE, seen.instance_id)) or (seen.server_status is status and _explained(seen, fault)):
        return
    if this.doors.database.run(census.follow_server, seen, status, fault):
        LOG.warning("Instance %s is shown as %s: %s", seen.instance_id, status.value, fault)
        this.count(what)


def _recovered(this: Round, seen: Standing) -> None:
    if seen.server_status is ServerStatus.ACTIVE and not (seen.fault_details or "").startswith(Finder.SERVER):
        return
    if this.doors.database.run(census.follow_server, seen, ServerStatus.ACTIVE, None):
        LOG.info("The server of instance %s is ACTIVE again", seen.instance_id)
        this.count("servers recovered")


def _explained(seen: Standing, fault: str) -> bool:
    """Tell whether the instance's fault says enough; not each new wording of the cloud is worth a change."""
    if seen.fault_details is None or seen.fault_details.startswith(Finder.GUEST):
        return False
    if seen.fault_details.startswith(Finder.SERVER):
        return (VANISHED in seen.fault_details) == (fault == VANISHED)
    return True
