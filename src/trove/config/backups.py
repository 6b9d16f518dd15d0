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
    cfg.StrOpt(
        "replica_snapshot_container",
        default="database_replicas",
        help="Container of the backups from which replicas are built, where their engine needs that. Each is removed then.",
    ),
    cfg.IntOpt(
        "backup_segment_max_size",
        default=8 * 1024 * 1024,
        min=64 * 1024,
        help="Bytes of one object of a backup. A guest agent holds three of them in memory.",
    ),
    cfg.BoolOpt(
        "backup_encryption",
        default=False,
        help="Encrypt new backups (AES-256-GCM) with keys of their projects, which are kept in the state database, sealed by "
        "[secrets] key_file. Who loses these loses the backups. Older backups stay readable whatever is set here.",
    ),
    cfg.FloatOpt(
        "backup_stall_time_out",
        default=900.0,
        min=0,
        help="Seconds after which a backup fails whose guest agent tells of no progress; 0 waits until backup_time_out.",
    ),
    cfg.FloatOpt("backup_time_out", default=36000.0, min=1, help="Seconds one backup may take; then it fails."),
    cfg.FloatOpt(
        "running_backups_expires",
        default=3.0,
        min=0,
        help="Days without a sign of progress after which a backup may be deleted although it seems to run.",
    ),
    cfg.BoolOpt(
        "backup_before_upgrade",
        default=True,
        help="Make a backup before an instance is upgraded to another datastore version, unless its request says otherwise. "
        "It is the tenant's own, counts in his quota, and stays.",
    ),
    cfg.FloatOpt(
        "restore_usage_timeout", default=3600.0, min=1, help="Seconds the creation of an instance from a backup may take."
    ),
]
