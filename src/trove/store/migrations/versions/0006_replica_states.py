"""How replicas follow their sources, as their guests reported it last."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("service_statuses", sa.Column("replica_state", TEXT))


def downgrade() -> None:
    op.drop_column("service_statuses", "replica_state")
