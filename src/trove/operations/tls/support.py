"""Which instances have a TLS that can be managed, and how their guests are asked for it."""

from trove.bus.guest import GuestCaller
from trove.core.callers import Caller
from trove.core.errors import Unsupported
from trove.core.instances import Instance
from trove.datastores import registry
from trove.datastores.contract import Facet, Spec
from trove.operations.sight import instance_of
from trove.operations.work import Work
from trove.store import tls
from trove.store.session import Tx

NOT_KNOWN = "It is not known with which certificate the database server serves now. Change its TLS again."


def managed(tx: Tx, caller: Caller, instance_id: str) -> tuple[Instance, Spec]:
    """Return an instance and its engine's spec. Raises `NotFound`; `Unsupported` for an engine whose TLS is not managed."""
    instance = instance_of(tx, caller, instance_id)
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.TLS not in spec.facets:
        raise Unsupported(f"Instance {instance.id} runs {spec.title}, whose TLS Trove does not manage.")
    return instance, spec


def serve(work: Work, instance_id: str, wanted: tls.Serving | None) -> bool:
    """Have a guest serve with this, or None as its server does by itself; return, and note, whether that waits for a restart.

    May run twice. Raises what `GuestCaller` does, and `Fenced`.
    """
    doors, request_id = work.doors, work.operation.request_id
    guest = GuestCaller(doors.bus, instance_id, timeout_s=doors.settings.guest_call_timeout_s, request_id=request_id)
    pending = guest.ssl_action(None if wanted is None else wanted.tls)
    with doors.database.transaction() as tx:
        tls.note_restart(tx, instance_id, required=pending, fence=work.fence)
    return pending
