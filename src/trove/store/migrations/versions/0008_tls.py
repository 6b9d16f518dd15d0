"""What instances serve TLS with, and served with before."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BINARY = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "instance_tls",
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("certificate", TEXT),
        sa.Column("sealed", BINARY),
        sa.Column("restart_required", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name="pk_instance_tls"),
        **UTF8,
    )


def downgrade() -> None:
    op.drop_table("instance_tls")
