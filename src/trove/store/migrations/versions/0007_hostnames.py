"""The names of instances in DNS."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("hostname", sa.String(255)))


def downgrade() -> None:
    op.drop_column("instances", "hostname")
