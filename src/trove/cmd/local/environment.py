"""`trove-local env`: what a shell needs so that unmodified OpenStack clients talk to this stack."""

import os
import shlex
from collections.abc import Mapping

from trove.cmd.local import accounts
from trove.cmd.local.layout import Layout
from trove.cmd.local.settings import BASIC, StackSettings

CONFLICTING = (
    "OS_AUTH_URL",
    "OS_CLOUD",
    "OS_CLIENT_CONFIG_FILE",
    "OS_DATABASE_ENDPOINT_OVERRIDE",
    "OS_DOMAIN_NAME",
    "OS_ENDPOINT",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_PROJECT_ID",
    "OS_PROJECT_NAME",
    "OS_SYSTEM_SCOPE",
    "OS_TENANT_NAME",
    "OS_TOKEN",
    "OS_USER_DOMAIN_NAME",
)
"""Variables that would lead the clients elsewhere when an earlier cloud left them in the shell."""


def variables(layout: Layout, settings: StackSettings, account: str) -> dict[str, str]:
    """Return the variables for one account.

    With HTTP basic authentication an endpoint stands in for the catalogue; with Keystone the account is the one given to `up`.
    """
    if settings.auth == BASIC:
        return {
            "OS_AUTH_TYPE": "http_basic",
            "OS_USERNAME": account,
            "OS_PASSWORD": accounts.password_of(layout, account),
            "OS_ENDPOINT": f"{settings.url}/v1.0/{accounts.project_of(settings, account)}",
            "OS_REGION_NAME": settings.region,
        }
    return {
        "OS_AUTH_TYPE": "password",
        "OS_AUTH_URL": settings.auth_url or "",
        "OS_USERNAME": settings.auth_user or "",
        "OS_PASSWORD": settings.auth_password or "",
        "OS_PROJECT_NAME": settings.auth_project or "",
        "OS_USER_DOMAIN_NAME": settings.auth_domain,
        "OS_PROJECT_DOMAIN_NAME": settings.auth_domain,
        "OS_REGION_NAME": settings.region,
        "OS_IDENTITY_API_VERSION": "3",
    }


def shell_text(values: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> str:
    """Return lines for a POSIX shell to evaluate; unsets what is set in `environ` and would lead the clients elsewhere."""
    stale = [name for name in CONFLICTING if name in environ and name not in values]
    lines = [f"unset {' '.join(stale)}"] if stale else []
    return "\n".join([*lines, *(f"export {name}={shlex.quote(value)}" for name, value in values.items())]) + "\n"
