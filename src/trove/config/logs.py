"""Options of the logs of instances, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.StrOpt("guest_log_container_name", default="database_logs", help="Container of the logs that are published."),
    cfg.IntOpt(
        "guest_log_expiry",
        default=2_592_000,
        min=60,
        help="Seconds after which Swift removes an object of a log that is published. Other stores keep them until they are "
        "discarded.",
    ),
    cfg.IntOpt("guest_log_limit", default=1_000_000, min=1024, help="Most bytes of one object of a log that is published."),
]
