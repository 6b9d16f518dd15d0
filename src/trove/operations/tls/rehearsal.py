"""How the change of TLS is rehearsed, without a key manager: by its end nobody has looked at the certificate."""

from trove.core.callers import Caller
from trove.core.tls import Tls, TlsMode
from trove.operations.doors import Doors
from trove.operations.tls import change
from trove.store import tls


def change_its_tls(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept something else for the instance and its replicas to serve with."""
    wanted = tls.Serving(tls=Tls(mode=TlsMode.ENFORCED, certificate="rehearsal", key="rehearsal"), ref="rehearsal")
    change.accept(doors, caller, instance_id, change.TlsVerb.ENABLE, wanted)
    return instance_id
