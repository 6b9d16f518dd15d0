"""Options of trove-taskmanager."""

from oslo_config import cfg

GROUP = "taskmanager"

OPTS = [
    cfg.IntOpt("workers", default=16, min=1, help="Operations one task manager runs at the same time."),
    cfg.StrOpt(
        "lock_url",
        default="file:///var/lib/trove/locks",
        help="tooz URL of the locks that let one task manager at a time work on an instance: file:///directory on one machine; "
        "mysql://user:password@host/db, postgresql://… or etcd3+http://… for several.",
        secret=True,
    ),
    cfg.FloatOpt("sweep_interval", default=5.0, min=0.1, help="Seconds between two looks for operations that nobody runs."),
    cfg.IntOpt("keep_finished_days", default=30, min=0, help="Days finished operations are kept; 0 keeps them for ever."),
    cfg.FloatOpt(
        "stop_timeout", default=30.0, min=0, help="Seconds running steps get to end when the service is told to stop."
    ),
]
