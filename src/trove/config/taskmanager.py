"""Options of trove-taskmanager."""

from oslo_config import cfg

GROUP = "taskmanager"

OPTS = [
    cfg.IntOpt("workers", default=16, min=1, help="Operations one task manager runs at the same time."),
    cfg.StrOpt(
        "lock_url",
        default="file:///var/lib/trove/locks",
        help="URL of the locks that let one task manager at a time work on an instance: file:///directory on one machine; "
        "mysql://user:password@host/db, postgresql://…, etcd3+http://host:2379 or redis://… for several.",
        secret=True,
    ),
    cfg.FloatOpt(
        "lease",
        default=30.0,
        min=0.3,
        help="Seconds for which a task manager keeps what it has in hand after its last sign of life; it gives one every third "
        "of them. After half as many again another one takes over: so far the clocks of task managers may differ.",
    ),
    cfg.FloatOpt(
        "hang_grace",
        default=60.0,
        min=0,
        help="Seconds a step may go on past its time before its thread counts as hung and is given up.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=20,
        min=1,
        help="How often an operation may be begun whose runner dies or hangs; it is undone then, and fails.",
    ),
    cfg.FloatOpt("sweep_interval", default=5.0, min=0.1, help="Seconds between two looks for operations that nobody runs."),
    cfg.IntOpt("keep_finished_days", default=30, min=0, help="Days finished operations are kept; 0 keeps them for ever."),
    cfg.FloatOpt(
        "stop_timeout", default=30.0, min=0, help="Seconds running steps get to end when the service is told to stop."
    ),
]
