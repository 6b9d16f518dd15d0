"""Options of the state database."""

from oslo_config import cfg

GROUP = "database"

OPTS = [
    cfg.StrOpt(
        "connection",
        secret=True,
        default="sqlite:////var/lib/trove/trove.sqlite",
        help="SQLAlchemy URL of the state database: mysql+pymysql://, postgresql+psycopg:// or sqlite:///.",
    ),
    cfg.IntOpt(
        "mysql_wsrep_sync_wait",
        default=7,
        min=0,
        max=15,
        help="Before what a session on a node of a Galera cluster waits until the node has caught up: the sum of 1 (reads), "
        "2 (updates and deletes) and 4 (inserts). With 0 a request may not see what another one, on another node, has just "
        "stored: only where all services use one node at a time. Means nothing on any other server.",
    ),
]
