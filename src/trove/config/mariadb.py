"""Options of the datastore manager mariadb."""

from oslo_config import cfg

GROUP = "mariadb"

OPTS = [
    cfg.BoolOpt(
        "root_on_create",
        default=False,
        help="Enable the superuser of each new instance. The answer to its creation has the password, shown this once.",
    ),
    cfg.ListOpt(
        "guest_log_exposed_logs",
        default=[],
        help="System logs that tenants see besides administrators: `error`, the server's own, and `guest`, the guest agent's.",
    ),
]
