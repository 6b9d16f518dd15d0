"""Options of backups, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.StrOpt(
        "storage_strategy",
        default="swift",
        choices=[("swift", "the object store of [objectstore]")],
        help="Where backups go whose creator names no storage_driver.",
    ),
    cfg.StrOpt(
        "backup_swift_container",
        default="database_backups",
        help="Container of backups for which neither their request nor a backup strategy names one.",
    ),
    cfg.IntOpt(
        "backup_segment_max_size",
        default=16 * 1024 * 1024,
        min=64 * 1024,
        help="Bytes of one object of a backup. A guest agent holds one in memory at a time, so that it can send it again.",
    ),
    cfg.FloatOpt("backup_time_out", default=36000.0, min=1, help="Seconds one backup may take; then it fails."),
    cfg.FloatOpt(
        "running_backups_expires",
        default=3.0,
        min=0,
        help="Days without a sign of progress after which a backup may be deleted although it seems to run.",
    ),
    cfg.FloatOpt(
        "restore_usage_timeout", default=3600.0, min=1, help="Seconds the creation of an instance from a backup may take."
    ),
]
