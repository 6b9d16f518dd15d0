"""Leases and reservations of operations, reserved quota, and what the reconciler found."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(36)
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.add_column("operations", sa.Column("lease_until", TIME))
    op.add_column("operations", sa.Column("reserved", TEXT))
    # Rows that are there count nothing as reserved: what was accepted before this revision was counted as used at once.
    op.add_column("quota_usages", sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "orphans",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.PrimaryKeyConstraint("kind", "resource_id", name="pk_orphans"),
        **UTF8,
    )


def downgrade() -> None:
    op.drop_table("orphans")
    op.drop_column("quota_usages", "reserved")
    op.drop_column("operations", "reserved")
    op.drop_column("operations", "lease_until")
