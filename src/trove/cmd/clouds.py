"""From the configuration to the cloud."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from trove.cloud.contract import Cloud, KeyManager, Names
from trove.config.openstack import KEY_MANAGER, SERVICES
from trove.core.errors import InvalidInput

if TYPE_CHECKING:
    from trove.cloud.openstack import OpenStackSettings

CLOUDINIT = ".cloudinit"
DESIGNATE = "designate"


def cloud(conf: Any) -> Cloud:
    """Return the cloud that `cloud` names. Raises `InvalidInput` saying what is missing for it."""
    if conf.cloud == "memory":
        from trove.cloud.memory import MemoryCloud

        return MemoryCloud()
    return _openstack(conf) if conf.cloud == "openstack" else _local(conf)


def names(conf: Any, cloud: Cloud) -> Names | None:
    """Return what gives instances names in DNS, None where they get none. Raises `InvalidInput` for what it cannot be."""
    if not conf.trove_dns_support:
        return None
    if DESIGNATE not in conf.dns_driver.lower():
        raise InvalidInput(f"dns_driver: {conf.dns_driver!r} is not there; names of instances are made by {DESIGNATE}.")
    if not isinstance(cloud, Names):
        raise InvalidInput(f"trove_dns_support: cloud = {conf.cloud} has no DNS; set it to false, or use cloud = openstack.")
    if conf.cloud == "openstack" and not (conf.dns_domain_name or conf.dns_domain_id):
        raise InvalidInput("trove_dns_support: dns_domain_name or dns_domain_id must say in which zone names of instances are.")
    return cloud


def keys(conf: Any) -> KeyManager | None:
    """Return what keeps secrets of tenants, with whatever cloud; None where no caller has a token that it would take."""
    if conf.auth_strategy != "keystone":
        return None
    from trove.cloud.barbican import SERVICE_TYPE, BarbicanKeys, BarbicanSettings

    return BarbicanKeys(
        BarbicanSettings(
            url=conf.barbican_url,
            service_type=conf.barbican_service_type or SERVICE_TYPE,
            interface=conf.barbican_endpoint_type,
            region=conf.service_credentials.region_name,
            verify=_verify(conf),
        )
    )


def _local(conf: Any) -> Cloud:
    from trove.cloud.local import LocalCloud, LocalCloudSettings

    local = conf.local
    return LocalCloud(
        LocalCloudSettings(
            state_dir=Path(local.state_dir),
            address_pool=local.address_pool,
            agent_command=tuple(local.agent_command) or _agent_command(),
            sandbox=local.sandbox,
            volumes=local.volumes,
            memory_overcommit=local.memory_overcommit,
            images_dir=Path(local.images_dir) if local.images_dir else None,
            shared_paths=_bus_socket(conf.bus.guest_transport_url or conf.transport_url),
        )
    )


def _bus_socket(url: str) -> tuple[Path, ...]:
    """Return the directory of the bus's Unix socket, which agents must reach; nothing for a bus on the network."""
    scheme, _, rest = url.partition("+unix://")
    return (Path(unquote(rest.partition("?")[0])).parent,) if scheme != url else ()


def _agent_command() -> tuple[str, ...]:
    """Return how to start the agent soon: with our own interpreter and search path, and without its customary setting up."""
    import trove
    from trove.cmd import guestagent_here

    places = (str(Path(trove.__file__).parents[1]), *(place for place in sys.path if Path(place).is_dir()))
    path = ":".join(dict.fromkeys(place for place in places if place.startswith("/") and ":" not in place))
    return (sys.executable, "-I", "-S", "-u", guestagent_here.__file__, path)


def _openstack(conf: Any) -> Cloud:
    settings = openstack_settings(conf)
    from trove.cloud.openstack import OpenStackCloud

    return OpenStackCloud(settings)


def openstack_settings(conf: Any) -> "OpenStackSettings":
    """Return how to use an OpenStack cloud. Raises `InvalidInput` saying what is missing for it."""
    try:
        from trove.cloud.openstack import OpenStackSettings
        from trove.cloud.openstack.settings import Timeouts, ZoneSettings
    except ImportError as error:
        raise InvalidInput("cloud = openstack needs openstacksdk: pip install 'trove[openstack]'") from error
    ours = conf.service_credentials
    return OpenStackSettings(
        auth=_account(ours),
        region=ours.region_name,
        verify=_verify(conf),
        overrides=_overrides(conf),
        network=conf.network.default_network,
        management_networks=tuple(conf.management_networks),
        management_security_groups=tuple(conf.management_security_groups),
        public_network=conf.network.public_network_id,
        security_group_prefix=conf.trove_security_group_name_prefix,
        default_cidr=conf.trove_security_group_rule_cidr,
        zone=ZoneSettings(name=conf.dns_domain_name, id=conf.dns_domain_id, ttl_s=conf.dns_ttl),
        volume_type=conf.cinder_volume_type,
        online_volume_growth=conf.online_volume_resize,
        config_drive=conf.use_nova_server_config_drive,
        keypair=conf.nova_keypair,
        files_directory=conf.injected_config_location,
        extra_userdata=_cloudinit(Path(conf.cloudinit_location)),
        timeouts=Timeouts(
            volume_s=conf.volume_time_out,
            server_s=conf.usage_timeout,
            delete_s=conf.server_delete_time_out,
            name_s=conf.dns_time_out,
            reboot_s=conf.reboot_time_out,
            resize_s=conf.resize_time_out,
        ),
    )


def _account(ours: Any) -> dict[str, str]:
    if not ours.password:
        raise InvalidInput("[service_credentials] password must be set for cloud = openstack.")
    project = (
        {"project_id": ours.project_id}
        if ours.project_id
        else {"project_name": ours.project_name, "project_domain_name": ours.project_domain_name}
    )
    account = {name: getattr(ours, name) for name in ("auth_url", "username", "password", "user_domain_name")}
    return {**account, **project}


def _verify(conf: Any) -> bool | str:
    if any(getattr(conf, f"{name}_api_insecure") for name in (*SERVICES, KEY_MANAGER)):
        return False
    return conf.service_credentials.cafile or True


def _overrides(conf: Any) -> dict[str, str]:
    """Return what differs from the catalogue, by openstacksdk's names."""
    found: dict[str, str] = {}
    for name, service in SERVICES.items():
        found[f"{service}_interface"] = getattr(conf, f"{name}_endpoint_type").removesuffix("URL")
        if getattr(conf, f"{name}_url"):
            found[f"{service}_endpoint_override"] = getattr(conf, f"{name}_url")
        if getattr(conf, f"{name}_service_type"):
            found[f"{service}_service_type"] = getattr(conf, f"{name}_service_type")
    return found


def _cloudinit(folder: Path) -> dict[str, str]:
    """Return the operator's own cloud-configs, by datastore manager."""
    files = sorted(folder.glob(f"*{CLOUDINIT}")) if folder.is_dir() else []
    return {file.name.removesuffix(CLOUDINIT): file.read_text(encoding="utf-8") for file in files}
