"""From who the authentication found to the `Caller` that the app sees; both authentications end in the same headers."""

from collections.abc import Iterable

from trove.api import faults
from trove.api.filters.faultwrapper import send
from trove.api.filters.request_id import REQUEST_ID
from trove.api.filters.wsgi import App, Environ, Filter, StartResponse
from trove.api.policies.enforcement import Policy
from trove.api.settings import installed
from trove.core.callers import Caller

CALLER = "trove.caller"
POLICY = "trove.policy"

BASIC = "trove.basic_auth"
"""Set in the environment by `basicauth`; keystonemiddleware sets its own. Headers alone prove nothing."""
KEYSTONE = "keystone.token_auth"

_AUTHORIZED = "trove.authorized"

IDENTITY_HEADERS = (
    "HTTP_X_IDENTITY_STATUS",
    "HTTP_X_PROJECT_ID",
    "HTTP_X_PROJECT_NAME",
    "HTTP_X_TENANT_ID",
    "HTTP_X_TENANT_NAME",
    "HTTP_X_TENANT",
    "HTTP_X_USER_ID",
    "HTTP_X_USER_NAME",
    "HTTP_X_USER",
    "HTTP_X_ROLES",
    "HTTP_X_ROLE",
    "HTTP_X_SERVICE_CATALOG",
)


def authorization_factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `authorization`: the project in the URL must be the caller's."""
    return authorize


def authorize(app: App) -> App:
    """Return `app`, refusing who is not authenticated (401) and who asks in another project's name (403)."""

    def authorization(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        proven = (BASIC in environ or KEYSTONE in environ) and environ.get("HTTP_X_IDENTITY_STATUS") == "Confirmed"
        if not proven or not environ.get("HTTP_X_USER_ID"):
            return send(start_response, faults.reply(401, "This request needs authentication."))
        project = environ.get("HTTP_X_PROJECT_ID") or environ.get("HTTP_X_TENANT_ID")
        asked = environ.get("PATH_INFO", "").lstrip("/").partition("/")[0]
        if not project or asked != project:
            return send(
                start_response, faults.reply(403, "The project in the URL is not the project you are authenticated for.")
            )
        environ[_AUTHORIZED] = project
        return app(environ, start_response)

    return authorization


def context_factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `contextwrapper`: makes the `Caller`."""
    policy = Policy(installed().settings.conf)

    def bound(app: App) -> App:
        return with_caller(app, policy)

    return bound


def with_caller(app: App, policy: Policy) -> App:
    """Return `app` with the caller and the policy in its environment."""

    def contextwrapper(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        project = environ.get(_AUTHORIZED)
        if not project:
            return send(start_response, faults.reply(401, "This request did not pass the authorization filter."))
        listed = environ.get("HTTP_X_ROLES") or environ.get("HTTP_X_ROLE") or ""
        roles = tuple(role for role in (part.strip() for part in listed.split(",")) if role)
        environ[CALLER] = Caller(
            project_id=project,
            user_id=environ["HTTP_X_USER_ID"],
            request_id=environ.get(REQUEST_ID, ""),
            roles=roles,
            is_admin=policy.is_admin(roles),
            client_ip=environ.get("REMOTE_ADDR", "")[:64],
        )
        environ[POLICY] = policy
        return app(environ, start_response)

    return contextwrapper
