"""Options of quotas and ceilings, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.IntOpt("max_instances_per_tenant", default=10, min=-1, help="Instances a project may have; -1 is unlimited."),
    cfg.IntOpt("max_volumes_per_tenant", default=40, min=-1, help="GiB of data volumes a project may have; -1 is unlimited."),
    cfg.IntOpt("max_backups_per_tenant", default=50, min=-1, help="Backups a project may have; -1 is unlimited."),
    cfg.IntOpt("max_ram_per_tenant", default=-1, min=-1, help="MiB of memory a project's instances may have; -1 is unlimited."),
    cfg.IntOpt(
        "max_pending_operations",
        default=2000,
        min=0,
        help="Unfinished operations, of all projects, from which on requests that would begin another one get 503, except "
        "deletions; 0 is unlimited.",
    ),
    cfg.IntOpt("max_accepted_volume_size", default=10, min=1, help="Largest size of one data volume, in GiB."),
]
