"""Guest agents that fell silent, and those that are heard again."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from trove.bus.guest import GuestCaller
from trove.core.census import Finder, Silence
from trove.core.clock import wire_time
from trove.core.errors import GuestTimeout, TroveError
from trove.operations.reconcile.round import Round
from trove.store import census

LOG = logging.getLogger(__name__)

ASKED = 3
ASK_TIMEOUT_S = 5.0


def compare(this: Round) -> None:
    """Store a fault for guests that are silent past the expiry, and clear it when they are heard again.

    Silence counts only while reports arrive at all. Where none has arrived for an expiry, be it that the conductor is away or
    that all guests are silent, a few guests are asked directly, and only those that do not answer are faulted.
    """
    expired = this.began - timedelta(seconds=this.doors.settings.heartbeat_expiry_s)
    _clear(this, expired)
    with this.doors.database.reading() as tx:
        silent = census.silent(tx, before=expired, limit=this.settings.batch)
        last = census.last_heard(tx)
    listening = _listening(this, last, expired)
    for seen in [one for one in silent if this.memory.seen_twice(("guest", one.instance_id))] if listening else ():
        _fault(this, seen)
    if last is not None and last < expired and this.memory.began <= expired:
        _ask(this, silent)


def _clear(this: Round, since: datetime) -> None:
    with this.doors.database.reading() as tx:
        heard = census.heard_again(tx, since=since, limit=this.settings.batch)
    for instance_id in heard:
        if this.doors.database.run(census.clear_fault, instance_id, Finder.GUEST):
            LOG.info("The guest agent of instance %s is heard again", instance_id)
            this.count("guests heard again")


def _listening(this: Round, last: datetime | None, expired: datetime) -> bool:
    """Tell whether reports have arrived for a whole expiry: after a pause of ours the guests need time to be heard again."""
    if last is None or last < expired:
        this.memory.listening_since = None
        return False
    if this.memory.listening_since is None:
        this.memory.listening_since = this.began
    return this.memory.listening_since <= expired


def _ask(this: Round, silent: Sequence[Silence]) -> None:
    """Ask a few guests while no report of any arrives, which tells silent guests from a service that does not listen."""
    for seen in silent[:ASKED]:
        guest = GuestCaller(
            this.doors.bus, seen.instance_id, timeout_s=min(ASK_TIMEOUT_S, this.doors.settings.guest_call_timeout_s)
        )
        try:
            guest.rpc_ping()
        except GuestTimeout:
            if this.memory.seen_twice(("mute guest", seen.instance_id)):
                _fault(this, seen)
        except TroveError as error:
            LOG.warning("No guest agent was heard since %s, and none can be asked: %s", wire_time(seen.heard_at), error.message)
            return
        else:
            LOG.error(
                "No report of any guest agent was stored since %s, although they answer: look at trove-conductor and its queue",
                wire_time(seen.heard_at),
            )
            return


def _fault(this: Round, seen: Silence) -> None:
    fault = f"The guest agent has not been heard since {wire_time(seen.heard_at)}Z. The database may serve all the same."
    if this.doors.database.run(census.record_silence, seen, fault):
        LOG.warning("Instance %s: %s", seen.instance_id, fault)
        this.count("guests silent")
