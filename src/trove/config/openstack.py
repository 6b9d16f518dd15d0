"""Options for `cloud = openstack`, under the names that operators know, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

SERVICES = {
    "nova_compute": "compute",
    "cinder": "block_storage",
    "neutron": "network",
    "glance": "image",
    "designate": "dns",
}
"""How options call a service, and how openstacksdk does."""
KEY_MANAGER = "barbican"
"""The same of the key manager, which is not used by openstacksdk, but with whatever cloud."""

_TYPES = {
    "nova_compute": "compute",
    "cinder": "block-storage",
    "neutron": "network",
    "glance": "image",
    "designate": "dns",
    "barbican": "key-manager",
}
_OLD_NAMES = {"designate": "dns"}
"""What the options of a service began with before."""


def _of_service(name: str) -> list[cfg.Opt]:
    old = _OLD_NAMES.get(name)
    return [
        cfg.StrOpt(
            f"{name}_url",
            deprecated_name=old and f"{old}_endpoint_url",
            help=f"URL of {_TYPES[name]} instead of the catalogue's.",
        ),
        cfg.StrOpt(
            f"{name}_service_type",
            deprecated_name=old and f"{old}_service_type",
            help=f"Type in the catalogue of services, if it is not {_TYPES[name]}.",
        ),
        cfg.StrOpt(
            f"{name}_endpoint_type", default="publicURL", help="Endpoint in the catalogue: publicURL, internalURL or adminURL."
        ),
        cfg.BoolOpt(
            f"{name}_api_insecure",
            default=False,
            help="Do not check certificates of the cloud's services; one such option holds for all of them. For trying only.",
        ),
    ]


OPTS = [
    cfg.ListOpt(
        "management_networks",
        default=[],
        deprecated_name="default_neutron_networks",
        help="Networks (ids or names) on which every server gets a port of the service's, beside the tenant's.",
    ),
    cfg.ListOpt("management_security_groups", default=[], help="Ids of the security groups of those ports."),
    cfg.StrOpt(
        "trove_security_group_name_prefix", default="trove_sg", help="What names of instances' security groups begin with."
    ),
    cfg.StrOpt("trove_security_group_rule_cidr", default="0.0.0.0/0", help="Who may connect to an instance that names nobody."),
    cfg.StrOpt("cinder_volume_type", help="Volume type of instances that name none; without it Cinder's default."),
    cfg.BoolOpt(
        "online_volume_resize",
        default=True,
        help="Whether volumes may grow under a running server; a server is stopped for it where Cinder refuses that.",
    ),
    cfg.BoolOpt(
        "use_nova_server_config_drive",
        default=False,
        help="Give servers a config drive; else they need a metadata service.",
    ),
    cfg.StrOpt("nova_keypair", help="Name of a key pair of the service's user with which servers can be entered by SSH."),
    cfg.StrOpt(
        "injected_config_location", default="/etc/trove/conf.d", help="Directory in a server for the files of its guest agent."
    ),
    cfg.StrOpt(
        "cloudinit_location",
        default="/etc/trove/cloudinit",
        help="Directory with <datastore manager>.cloudinit files, cloud-configs that are added to what servers are given.",
    ),
    cfg.BoolOpt(
        "trove_dns_support", default=False, help="Give instances names in DNS, which their owners see instead of addresses."
    ),
    cfg.StrOpt(
        "dns_driver", default="designate", help="What makes names; any word with `designate` in it, as there is no other."
    ),
    cfg.StrOpt(
        "dns_domain_name", help="Zone of the names, such as db.example.org; it must be the project's of the service's user."
    ),
    cfg.StrOpt("dns_domain_id", help="Id of that zone in Designate; this, the name, or both must be set for names."),
    cfg.IntOpt("dns_ttl", default=300, min=1, help="Seconds for which others may keep what a name means."),
    cfg.IntOpt(
        "dns_time_out", default=120, min=1, help="Seconds until the name servers must know a new name; then the build fails."
    ),
    *(option for name in (*SERVICES, KEY_MANAGER) for option in _of_service(name)),
]
