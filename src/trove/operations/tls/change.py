"""Enable, disable or roll back the TLS of an instance: needs a key manager, which no cloud that Trove knows has yet."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from trove.core.callers import Caller
from trove.core.errors import InvalidInput, NotReady, Unsupported
from trove.core.status import shown_status
from trove.operations.doors import Doors
from trove.operations.tls.support import managed

READY = frozenset({"ACTIVE", "RESTART_REQUIRED"})


class TlsVerb(StrEnum):
    """What may be done."""

    ENABLE = "enable"
    DISABLE = "disable"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTls:
    """What was asked for. `container_ref` is the URL of a PKCS12 file in a key manager."""

    verb: TlsVerb
    container_ref: str | None = None


def start(doors: Doors, caller: Caller, instance_id: str, change: ChangeTls) -> NoReturn:
    """Refuse it, by its own fault first.

    Raises `InvalidInput` (nothing to be enabled with; a replica, which has the TLS of its source), `NotFound`, `NotReady`
    naming the status; else `Unsupported`.
    """
    if change.verb is TlsVerb.ENABLE and not change.container_ref:
        raise InvalidInput("ssl: enable needs a container_ref, the secret with the certificate and its key.")
    with doors.database.reading() as tx:
        instance = managed(tx, caller, instance_id)
    if instance.replica_of is not None and change.verb is not TlsVerb.ROLLBACK:
        raise InvalidInput(f"Instance {instance.id} is a replica, which has the TLS of its source {instance.replica_of}.")
    shown = shown_status(instance.task, instance.server_status)
    if shown not in READY:
        raise NotReady(f"The TLS of instance {instance.id} cannot be changed now: its status is {shown}.")
    raise Unsupported("This cloud has no key manager (Barbican) to take certificates from: TLS stays as it is.")
