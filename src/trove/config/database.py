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
]
