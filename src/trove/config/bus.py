"""Options of the message bus beyond `transport_url`."""

from oslo_config import cfg

GROUP = "bus"

OPTS = [
    cfg.StrOpt(
        "management_url",
        secret=True,
        help="URL with user and password of RabbitMQ's management API (https://user:password@host:15671, more nodes of a "
        "cluster with commas). With it every guest gets a bus user of its own; without it guests share guest_transport_url.",
    ),
    cfg.StrOpt(
        "guest_transport_url",
        secret=True,
        help="Bus URL guests reach the bus by when that differs from transport_url, for example another address or TLS.",
    ),
]
