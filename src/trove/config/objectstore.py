"""Options of the object store, where backups are kept."""

from oslo_config import cfg

GROUP = "objectstore"

OPTS = [
    cfg.StrOpt(
        "driver",
        default="file",
        choices=[
            ("file", "a directory, which guests reach through the endpoint that trove-objectstore serves"),
            ("swift", "Swift, as [service_credentials] reach it; guests reach it through temporary URLs"),
            ("s3", "a bucket of S3, or of what speaks like it; guests reach it through presigned URLs"),
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
    cfg.StrOpt(
        "swift_account",
        default="project",
        choices=[
            ("project", "each project's own, on which the service's user needs the role of a reseller admin (ResellerAdmin)"),
            ("service", "that of the service's own project, in containers that begin with the id of the tenant's project"),
        ],
        help="In which account of Swift the objects of a project are.",
    ),
    cfg.StrOpt("s3_endpoint", default="https://s3.us-east-1.amazonaws.com", help="URL of S3, as guests reach it, too."),
    cfg.StrOpt("s3_region", default="us-east-1", help="Region of S3, which its signatures name."),
    cfg.StrOpt("s3_bucket", default="trove", help="Bucket of all objects. It must exist, and nobody else should write there."),
    cfg.StrOpt("s3_access_key", help="Access key, unless boto3 is to find one as it customarily does."),
    cfg.StrOpt("s3_secret_key", secret=True, help="Secret key that belongs to s3_access_key."),
    cfg.StrOpt("s3_ca_file", help="Certificates of the authorities to be trusted, unless the usual ones are to be."),
    cfg.FloatOpt("timeout", default=60.0, min=1, help="Seconds to wait for an answer of Swift or S3."),
]
