"""The files that a guest agent starts from."""

import base64
from configparser import RawConfigParser
from io import StringIO

from trove.bus.contract import GuestCredential
from trove.core.instances import Instance

GUEST_INFO = "guest_info.conf"
GUEST_AGENT = "trove-guestagent.conf"
FIRST_CONFIG = "first.cnf"


def guest_files(
    instance: Instance, key: bytes, credential: GuestCredential, *, report_interval_s: float, first_config: str | None
) -> dict[str, bytes]:
    """Return the files by name: who the guest is, how it reaches the control plane, and the database server's configuration.

    The first two hold secrets. The last lets the agent begin to set up an empty database server before it has been spoken to;
    None where its data comes from elsewhere.
    """
    version = instance.datastore_version
    return {
        GUEST_INFO: _ini(
            {
                "guest_id": instance.id,
                "datastore_manager": version.manager,
                "datastore_version": version.version,
                "tenant_id": instance.project_id,
                "instance_rpc_encr_key": base64.b64encode(key).decode(),
            }
        ),
        GUEST_AGENT: _ini({"transport_url": credential.url, "report_interval": f"{report_interval_s:g}"}),
        **({} if first_config is None else {FIRST_CONFIG: first_config.encode()}),
    }


def _ini(values: dict[str, str]) -> bytes:
    parser = RawConfigParser()
    parser["DEFAULT"] = values
    text = StringIO()
    parser.write(text)
    return text.getvalue().encode()
