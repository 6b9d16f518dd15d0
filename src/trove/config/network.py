"""Options of instances' networks on OpenStack, in `[network]`."""

from oslo_config import cfg

GROUP = "network"

OPTS = [
    cfg.StrOpt(
        "public_network_id",
        help="External network of the floating addresses of public instances; without it none can be public.",
    ),
    cfg.StrOpt(
        "default_network", help="Network (id or name) of instances that name none; without it tenants have to name one."
    ),
]
