"""Options of trove-conductor."""

from oslo_config import cfg

GROUP = "conductor"

OPTS = [
    cfg.IntOpt("max_batch", default=500, min=1, help="Most guest reports stored in one transaction."),
    cfg.FloatOpt(
        "max_wait",
        default=0.005,
        min=0,
        help="Seconds to gather reports for one transaction. Each report waits so long; under load more gather by themselves.",
    ),
]
