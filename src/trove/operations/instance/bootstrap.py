"""The files that a guest agent starts from."""

import base64
from collections.abc import Mapping
from configparser import RawConfigParser
from io import StringIO
from ipaddress import ip_address

from trove.bus.contract import GuestCredential
from trove.core.instances import Address, Instance
from trove.operations.doors import GuestMachines

GUEST_INFO = "guest_info.conf"
GUEST_AGENT = "trove-guestagent.conf"
HOST = "host.conf"
FIRST_CONFIG = "first.cnf"
CA = "ca.pem"

RUN_DIR = "/run/trove/database"
CONFIG_DIR = "/var/lib/trove/config"
AGENT_DIR = "/var/lib/trove/agent"
LOG_DIR = "/var/log/trove/database"

_DEFAULT = "DEFAULT"
_EVERYWHERE = "0.0.0.0"  # noqa: S104  only where nothing is known of the address


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
        GUEST_AGENT: _ini(_agent_values(credential, report_interval_s)),
        **({} if first_config is None else {FIRST_CONFIG: first_config.encode()}),
    }


def machine_files(
    instance: Instance, machines: GuestMachines, credential: GuestCredential, *, report_interval_s: float, new_volume: bool
) -> dict[str, bytes]:
    """Return the files that a guest on a machine of its own gets, too: what its machine is, and whom it trusts.

    Only with `new_volume` may the agent make a file system on a volume that bears none.
    """
    mount_point = machines.mount_points[instance.datastore_version.manager]
    values = {
        "sandbox": "user",
        "uid": str(machines.uid),
        "address": _listening(instance.addresses),
        "data_dir": f"{mount_point}/data",
        "run_dir": RUN_DIR,
        "config_dir": CONFIG_DIR,
        "agent_dir": AGENT_DIR,
        "log_dir": LOG_DIR,
    }
    if instance.volume is not None and instance.volume.volume_id is not None:
        values |= {
            "volume_id": instance.volume.volume_id,
            "device_path": machines.device_path,
            "mount_point": mount_point,
            "volume_fstype": machines.volume_fstype,
            "format_options": machines.format_options,
            "mount_options": machines.mount_options,
            "may_format": "true" if new_volume else "false",
        }
    agent = _agent_values(credential, report_interval_s) | ({} if machines.ca is None else {"ca_file": CA})
    return {
        HOST: _ini(values, section="host"),
        GUEST_AGENT: _ini(agent, over=machines.agent_options),
        **({} if machines.ca is None else {CA: machines.ca}),
    }


def _agent_values(credential: GuestCredential, report_interval_s: float) -> dict[str, str]:
    return {"transport_url": credential.url, "report_interval": f"{report_interval_s:g}"}


def _listening(addresses: tuple[Address, ...]) -> str:
    """Return where the database server listens: on the tenant's network alone, however many others the machine is on."""
    own = sorted((each.address for each in addresses if each.type == "private"), key=lambda each: ip_address(each).version)
    return own[0] if own else _EVERYWHERE


def _ini(values: Mapping[str, str], *, section: str = _DEFAULT, over: str = "") -> bytes:
    parser = RawConfigParser(strict=False)
    parser.read_string(over)
    if section != _DEFAULT and not parser.has_section(section):
        parser.add_section(section)
    for name, value in values.items():
        parser.set(section, name, value)
    text = StringIO()
    parser.write(text)
    return text.getvalue().encode()
