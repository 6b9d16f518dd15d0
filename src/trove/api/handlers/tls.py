"""The TLS of an instance."""

from typing import Any

from trove.api import query
from trove.api.request import Request
from trove.api.settling import settle
from trove.cloud.certificates import details_of
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.core.tls import TlsMode
from trove.operations.tls import change as change_tls
from trove.operations.tls import show as show_tls

BUILT_IN = "builtin"
"""The mode where Trove never enabled TLS: whatever the server does by itself."""
TIME = "%Y-%m-%dT%H:%M:%S.%f"


def show(request: Request) -> JSON:
    """Show whether TLS is enabled, how, and with which certificate."""
    whole = query.flag(request.query, "include_certificate")
    shown = show_tls.start(request.doors, request.caller, request.instance_id())
    answer: dict[str, JSON] = {"status": "on" if shown.mode else "off", "mode": shown.mode or BUILT_IN}
    if shown.mode and shown.certificate:
        answer["certificate"] = _certificate(shown.certificate, whole=whole)
    return {"ssl": answer}


def change(request: Request) -> JSON:
    """Enable, disable or roll back TLS, and wait a while for the database servers to do it."""
    asked = _asked(request.body["ssl"], request)
    doors = request.doors
    started = change_tls.start(doors, request.caller, request.instance_id(), asked)
    settle(doors, [started.operation_id], within_s=request.settings.configuration_wait_s)
    outcome = change_tls.outcome(doors, started)
    change_tls.tell_key_manager(doors, started, request.key_token)
    answer: dict[str, JSON] = {"restart_required": outcome.restart_required}
    if asked.verb is change_tls.TlsVerb.ROLLBACK:
        answer |= {"status": "on" if outcome.mode else "off", "mode": outcome.mode}
    return {"ssl": answer}


def _asked(wanted: Any, request: Request) -> change_tls.ChangeTls:
    verbs = [verb for verb in change_tls.TlsVerb if wanted.get(verb.value)]
    if len(verbs) != 1:
        raise InvalidInput(f"ssl: give exactly one of {', '.join(change_tls.TlsVerb)}.")
    return change_tls.ChangeTls(
        verb=verbs[0],
        container_ref=wanted.get("container_ref"),
        password_ref=wanted.get("password_ref"),
        mode=TlsMode(wanted.get("mode") or TlsMode.BASIC),
        token=request.key_token,
    )


def _certificate(certificate: str, *, whole: bool) -> JSON:
    details = details_of(certificate)
    alternatives: list[JSON] = list(details.alternatives)
    shown: dict[str, JSON] = {
        "cn": details.common_name,
        "expire_at": details.expires.strftime(TIME),
        "san": alternatives or None,
    }
    return {**shown, "payload": certificate} if whole else shown
