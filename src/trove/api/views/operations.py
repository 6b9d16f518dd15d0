"""How operations look, an extension of this Trove: what is being done, how far it is, and why it failed."""

from datetime import datetime

from trove.core.clock import wire_time
from trove.core.json import JSON
from trove.core.operations import UNFINISHED, Operation
from trove.operations.catalogue import KINDS


def operation(found: Operation, *, is_admin: bool) -> dict[str, JSON]:
    """Return an operation; administrators also see who asked for it, who runs it and with what arguments.

    `cancellable` tells whether asking it to stop makes sense now. Secrets are never shown.
    """
    kind = KINDS.get(found.kind)
    view: dict[str, JSON] = {
        "id": found.id,
        "kind": found.kind,
        "resource_type": found.resource_type,
        "resource_id": found.resource_id,
        "tenant_id": found.project_id,
        "state": found.state.value,
        "step": found.step,
        "percent": found.percent,
        "attempts": found.attempts,
        "cancel_requested": found.cancel_requested,
        "cancellable": bool(kind and kind.cancellable and found.state in UNFINISHED and not found.cancel_requested),
        "request_id": found.request_id,
        "created": wire_time(found.created),
        "started": _time(found.started),
        "updated": wire_time(found.updated),
        "finished": _time(found.finished),
        "deadline": wire_time(found.deadline),
        "error": found.error,
    }
    if is_admin:
        view |= {"user_id": found.user_id, "owner": found.owner, "args": found.args}
    return view


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else wire_time(moment)
