"""Keys of projects that encrypt the keys of their backups."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BINARY = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "backup_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("sealed", BINARY, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backup_keys"),
        **UTF8,
    )
    op.create_index("ix_backup_keys_tenant_id_created", "backup_keys", ["tenant_id", "created"])


def downgrade() -> None:
    op.drop_table("backup_keys")
