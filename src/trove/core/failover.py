"""The dangerous decisions of changing who is the source: in which order, what may be taken back, and which replica is best.

Never may two servers take writes at a time, and no write that was acknowledged may be lost by a promotion. So the old source
is closed (or fenced) before the new one opens, and the new roles are recorded between the two: as long as they are not,
nothing has been written to the candidate and all can be taken back; once they are, the candidate may have taken writes, and the
way leads only forward. Whoever dies, fails or is cancelled in between finds in the record which of the two holds.

An ejection cannot save what a dead source acknowledged and sent to nobody. It saves all that any replica has received: the one
that has received most becomes the source, and only after it has applied that.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from trove.core.errors import TroveError
from trove.core.replication import Received


class Deed(StrEnum):
    """What is done on the way to a new source. Each may run twice."""

    NEAR = "let the candidate catch up"
    """While the source still takes writes, so that it is closed for a short time only."""
    CLOSE = "close the source to writes"
    CATCH_UP = "let the candidate apply the last write"
    FENCE = "stop the server of the source"
    CHOOSE = "choose the replica that has received most"
    PART = "part the candidate from the source"
    """It stops to follow, having applied all that it received, and takes no writes yet."""
    SWITCH = "record the new roles"
    OPEN = "open the candidate to writes"
    FOLLOW = "let the others follow the new source"


PROMOTION = (Deed.NEAR, Deed.CLOSE, Deed.CATCH_UP, Deed.PART, Deed.SWITCH, Deed.OPEN, Deed.FOLLOW)
"""The source is alive: nothing that it acknowledged is lost."""

EJECTION = (Deed.FENCE, Deed.CHOOSE, Deed.PART, Deed.SWITCH, Deed.OPEN, Deed.FOLLOW)
"""The source is dead, or so it seems: it is kept from coming back to life as a second one."""


class Undo(StrEnum):
    """What takes a deed back, in the reverse order of the deeds, and only as long as the new roles are not recorded."""

    REJOIN = "let the candidate follow the source again"
    UNFENCE = "start the server of the source again"
    REOPEN = "open the source to writes again"


UNDO: Mapping[Deed, Undo] = {Deed.CLOSE: Undo.REOPEN, Deed.FENCE: Undo.UNFENCE, Deed.PART: Undo.REJOIN}


def may_take_back(source_id: str, replica_of: Mapping[str, str | None]) -> bool:
    """Tell from the recorded roles (id of each member to that of its source) whether the way back is still open."""
    return replica_of.get(source_id, "") is None


def best_replica(received: Mapping[str, Received]) -> str:
    """Return the id of the replica that has received most; of equals always the same one.

    Raises `TroveError` for none, or for replicas that follow different histories: which of them has more cannot be told.
    """
    if not received:
        raise TroveError("There is no replica that could become the source.")
    origins = {each.origin for each in received.values()}
    if len(origins) > 1:
        raise TroveError(
            f"The replicas follow different sources ({', '.join(sorted(origins))}), so which has the latest data is unknown. "
            "Detach those that should not take part."
        )
    return min(received, key=lambda replica: (-received[replica].position, replica))


def others(members: Sequence[str], *, but: Sequence[str]) -> tuple[str, ...]:
    """Return the members that are left to follow, in an order that is always the same."""
    return tuple(sorted(set(members) - set(but)))
