"""What every light thing begins with: an instance that the caller may see, whose engine can do it, and that serves now."""

from dataclasses import dataclass
from datetime import timedelta

from trove.bus.guest import GuestCaller
from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import NotReady
from trove.core.instances import Instance
from trove.core.status import shown_operating_status, shown_status
from trove.datastores import registry
from trove.datastores.contract import Facet, Spec
from trove.operations.doors import Doors
from trove.operations.sight import instance_of

ANSWERING = frozenset({"ACTIVE", "HEALTHY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """An instance that can be asked now."""

    instance: Instance
    spec: Spec
    guest: GuestCaller


def supporting(doors: Doors, caller: Caller, instance_id: str, facet: Facet) -> tuple[Instance, Spec]:
    """Return the instance and its engine's spec. Raises `NotFound`; `NotReady` when the engine lacks `facet` (contract 7)."""
    with doors.database.reading() as tx:
        instance = instance_of(tx, caller, instance_id)
    spec = registry.spec(instance.datastore_version.manager)
    if facet not in spec.facets:
        raise NotReady(f"Instance {instance.id} runs {spec.title}, which does not support {facet.value}.")
    return instance, spec


def serving(doors: Doors, caller: Caller, instance_id: str, facet: Facet) -> Serving:
    """Return the instance with a caller for its guest.

    Raises `NotFound`, `NotReady` (engine without the facet; instance busy or not running; the message names the status).
    """
    instance, spec = supporting(doors, caller, instance_id, facet)
    need_answering(doors, instance)
    timeout_s = doors.settings.guest_call_timeout_s
    guest = GuestCaller(doors.bus, instance.id, timeout_s=timeout_s, request_id=caller.request_id or None)
    return Serving(instance=instance, spec=spec, guest=guest)


def need_answering(doors: Doors, instance: Instance) -> None:
    """Raise `NotReady` naming the status unless the database server answered lately and nothing else is being done to it."""
    operating = shown_operating_status(
        instance.task,
        instance.server_status,
        instance.guest.status,
        heard_at=instance.guest.heard_at,
        expired_before=utcnow() - timedelta(seconds=doors.settings.heartbeat_expiry_s),
    )
    if operating not in ANSWERING:
        shown = operating or shown_status(instance.task, instance.server_status)
        raise NotReady(f"Instance {instance.id} cannot be asked now: its status is {shown}.")
