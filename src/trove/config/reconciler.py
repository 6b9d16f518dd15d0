"""Options of the reconciler, which runs in trove-taskmanager."""

from oslo_config import cfg

GROUP = "reconciler"

OPTS = [
    cfg.FloatOpt(
        "interval",
        default=60.0,
        min=0.0,
        help="Seconds between two rounds that compare rows, cloud, bus and guests' reports; 0 makes none. What is wrong with a "
        "server or a guest must be seen in two rounds.",
    ),
    cfg.IntOpt(
        "batch",
        default=100,
        min=1,
        help="Servers compared in one round, and at most as many repairs of each sort. All instances are gone through in "
        "(instances / batch) rounds.",
    ),
    cfg.IntOpt(
        "vanished_percent",
        default=50,
        min=0,
        max=100,
        help="When more than this share of all servers, and more than one, is missing in the cloud, the cloud is not believed: "
        "an ERROR is logged and no instance gets a fault. 100 believes it always.",
    ),
    cfg.FloatOpt(
        "unowned_after",
        default=60.0,
        min=0.0,
        help="Seconds after which an operation that nobody runs is taken up and told in the log; reckoned from the end of its "
        "lease, or else from its last change.",
    ),
]
