"""The TLS of an instance."""

from trove.api import query
from trove.api.request import Request
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.operations.tls import change as change_tls
from trove.operations.tls import show as show_tls

BUILT_IN = "builtin"
"""The mode where Trove never enabled TLS: whatever the server does by itself."""


def show(request: Request) -> JSON:
    """Show whether TLS is enabled, and how."""
    query.flag(request.query, "include_certificate")
    mode = show_tls.start(request.doors, request.caller, request.instance_id())
    return {"ssl": {"status": "on" if mode else "off", "mode": mode or BUILT_IN}}


def change(request: Request) -> JSON:
    """Enable, disable or roll back TLS."""
    wanted = request.body["ssl"]
    verbs = [verb for verb in change_tls.TlsVerb if wanted.get(verb.value)]
    if len(verbs) != 1:
        raise InvalidInput(f"ssl: give exactly one of {', '.join(change_tls.TlsVerb)}.")
    asked = change_tls.ChangeTls(verb=verbs[0], container_ref=wanted.get("container_ref"))
    change_tls.start(request.doors, request.caller, request.instance_id(), asked)
