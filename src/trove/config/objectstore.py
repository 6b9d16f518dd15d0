"""Options of the object store, where backups are kept."""

from oslo_config import cfg

GROUP = "objectstore"

OPTS = [
    cfg.StrOpt(
        "driver",
        default="file",
        choices=[
            ("file", "a directory, which guests reach through the endpoint that trove-objectstore serves"),
            ("memory", "the memory of each process, for tests"),
        ],
        help="What the object store is.",
    ),
    cfg.StrOpt("path", default="/var/lib/trove/objects", help="Directory of the object store `file`, one for all services."),
    cfg.StrOpt(
        "endpoint",
        default="http://127.0.0.1:8780",
        help="URL at which guests reach trove-objectstore, which takes nothing but tickets; beyond one machine use https.",
    ),
    cfg.StrOpt("bind_host", default="127.0.0.1", help="Address on which trove-objectstore listens."),
    cfg.PortOpt("bind_port", default=8780, help="Port on which trove-objectstore listens."),
]
