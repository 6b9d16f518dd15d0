"""The connection to an OpenStack cloud, as the service's own user."""

from typing import Any

import openstack

from trove.cloud.openstack.settings import OpenStackSettings

APP = "trove"
SERVICES = ("compute", "block_storage", "network", "image", "dns")
ANSWER_S = 60
"""For how long one request may take: who waits for an answer for ever cannot be told to stop."""
STATUS_RETRIES = 2
"""Of answers that say that the service is busy: the step that asked is repeated as well, but later."""


def connect(settings: OpenStackSettings) -> Any:
    """Return an openstacksdk connection; it logs in when it is first used, and again when its token ends."""
    options: dict[str, Any] = {f"{service}_status_code_retries": STATUS_RETRIES for service in SERVICES}
    return openstack.connection.Connection(
        auth=dict(settings.auth),
        auth_type="v3applicationcredential" if "application_credential_id" in settings.auth else "password",
        region_name=settings.region,
        interface="public",
        verify=settings.verify,
        app_name=APP,
        api_timeout=ANSWER_S,
        **options,
        **dict[str, Any](settings.overrides),
    )
