"""Options of what guest agents are told on `cloud = openstack`, under the names that operators know, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.StrOpt(
        "guest_config",
        default="/etc/trove/trove-guestagent.conf",
        help="File with options for the guest agents of all servers, such as debug; what Trove itself sets goes before them.",
    ),
    cfg.StrOpt(
        "guest_ca_file",
        help="Certificates of the authorities that guest agents trust, for the bus and the object store. Without it they trust "
        "those of [oslo_messaging_rabbit] ssl_ca_file, [service_credentials] cafile and [objectstore] s3_ca_file, else those "
        "that are usual in their image.",
    ),
    cfg.BoolOpt(
        "trove_volume_support",
        default=True,
        help="Whether instances have data volumes; without them their data are on the disks of their servers.",
    ),
    cfg.StrOpt(
        "device_path",
        default="/dev/vdb",
        help="Device of the data volume in a server whose disks tell no serial numbers; else it is found by its own.",
    ),
    cfg.StrOpt(
        "volume_fstype",
        default="ext4",
        choices=[("ext4", "grows under a running database server"), ("xfs", "does so, too; its tools must be in the image")],
        help="File system that a new data volume gets.",
    ),
    cfg.StrOpt("format_options", default="-m 5", help="Options for the program that makes it; the default is for ext4 alone."),
    cfg.StrOpt("mount_options", default="defaults,noatime", help="Options with which it is mounted; nosuid,nodev are added."),
    cfg.IntOpt(
        "database_service_uid", default=1001, min=1, help="User, by number, that database servers run as in their servers."
    ),
]
