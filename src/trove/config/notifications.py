"""Options of what is told in notifications, in `[DEFAULT]` under the names operators know."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.DictOpt(
        "notification_service_id",
        default={},
        help="service_id in usage notifications by datastore manager: mariadb:3e6a3d4b-…,postgresql:….",
    ),
    cfg.BoolOpt("exists_notifications", default=False, help="Tell periodically of every instance that it exists."),
    cfg.StrOpt(
        "exists_notification_transformer",
        help="Any value has the effect of exists_notifications = true. It is not loaded: the payload is fixed.",
    ),
    cfg.IntOpt("exists_notification_interval", default=3600, min=1, help="Seconds between two trove.instance.exists."),
    cfg.IntOpt(
        "quota_notification_interval", default=0, min=0, help="Seconds between two dbaas.quota of every project; 0 for none."
    ),
    cfg.IntOpt(
        "max_waiting_notifications",
        default=100_000,
        min=1,
        help="Notifications that may wait in the state database for a broker that is away; beyond that the oldest are lost.",
    ),
]
