"""Notifications that wait to be published, the periods of the periodic ones, and where an operation was asked for."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.add_column("operations", sa.Column("client_ip", sa.String(64)))
    op.create_table(
        "notifications",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("publisher_id", sa.String(255), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("payload", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_notifications"),
        sqlite_autoincrement=True,
        **UTF8,
    )
    op.create_table(
        "notification_periods",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("began", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notification_periods"),
        **UTF8,
    )


def downgrade() -> None:
    op.drop_table("notification_periods")
    op.drop_table("notifications")
    op.drop_column("operations", "client_ip")
