"""Where notifications go: oslo.messaging's own options, as far as our services read them, too."""

from oslo_config import cfg

GROUP = "oslo_messaging_notifications"

OPTS = [
    cfg.MultiStrOpt(
        "driver",
        default=[],
        help="How notifications are published: messagingv2 for Ceilometer and the like, log to see them in the task manager's "
        "log; several are possible. None, and nothing is published nor stored. Needs the packages of `trove[notifications]`.",
    ),
    cfg.StrOpt(
        "transport_url",
        secret=True,
        help="Broker of the notifications, rabbit://user:password@host:5672/vhost; by default that of transport_url.",
    ),
    cfg.ListOpt("topics", default=["notifications"], help="Topics notifications are published under."),
    cfg.IntOpt(
        "retry",
        default=-1,
        help="How often publishing one notification is tried again before it is lost; -1 waits for the broker.",
    ),
]
