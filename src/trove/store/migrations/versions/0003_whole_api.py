"""Backups, configuration groups and parameters, clusters, modules, and what instances need for them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(36)
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BINARY = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    _instances()
    _backups()
    _configurations()
    _clusters()
    _modules()


def _instances() -> None:
    op.add_column("instances", sa.Column("locality", sa.String(32)))
    op.add_column("instances", sa.Column("ssl_mode", sa.String(32)))
    op.add_column("instances", sa.Column("ssl_ref", sa.String(255)))
    op.create_index("ix_instances_configuration_id", "instances", ["configuration_id"])
    op.create_index("ix_instances_created_id", "instances", ["created", "id"])


def _backups() -> None:
    op.create_table(
        "backups",
        sa.Column("id", ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("instance_id", ID),
        sa.Column("datastore_version_id", ID),
        sa.Column("parent_id", ID),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("backup_type", sa.String(32), nullable=False),
        sa.Column("storage_driver", sa.String(32), nullable=False),
        sa.Column("container", sa.String(255)),
        sa.Column("location", sa.String(1024)),
        sa.Column("checksum", sa.String(128)),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("note", TEXT),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_backups"),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"], ["datastore_versions.id"], name="fk_backups_datastore_version_id", ondelete="SET NULL"
        ),
        **UTF8,
    )
    op.create_index("ix_backups_tenant_id_deleted_created_id", "backups", ["tenant_id", "deleted", "created", "id"])
    op.create_index("ix_backups_instance_id_deleted", "backups", ["instance_id", "deleted"])
    op.create_index("ix_backups_parent_id", "backups", ["parent_id"])
    op.create_index("ix_backups_datastore_version_id", "backups", ["datastore_version_id"])
    op.create_table(
        "backup_strategy",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("instance_id", ID, nullable=False, server_default=""),
        sa.Column("backend", sa.String(32), nullable=False),
        sa.Column("swift_container", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "instance_id", name="pk_backup_strategy"),
        **UTF8,
    )


def _configurations() -> None:
    op.create_table(
        "configurations",
        sa.Column("id", ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("datastore_version_id", ID),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_configurations"),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name="fk_configurations_datastore_version_id",
            ondelete="SET NULL",
        ),
        **UTF8,
    )
    op.create_index("ix_configurations_tenant_id_deleted_id", "configurations", ["tenant_id", "deleted", "id"])
    op.create_index("ix_configurations_datastore_version_id", "configurations", ["datastore_version_id"])
    op.create_table(
        "configuration_parameters",
        sa.Column("configuration_id", ID, nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("configuration_id", "key", name="pk_configuration_parameters"),
        sa.ForeignKeyConstraint(
            ["configuration_id"],
            ["configurations.id"],
            name="fk_configuration_parameters_configuration_id",
            ondelete="CASCADE",
        ),
        **UTF8,
    )
    op.create_table(
        "datastore_configuration_parameters",
        sa.Column("datastore_version_id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("restart_required", sa.Boolean(), nullable=False),
        sa.Column("data_type", sa.String(32), nullable=False),
        sa.Column("min_size", sa.String(40)),
        sa.Column("max_size", sa.String(40)),
        sa.PrimaryKeyConstraint("datastore_version_id", "name", name="pk_datastore_configuration_parameters"),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name="fk_datastore_configuration_parameters_datastore_version_id",
            ondelete="CASCADE",
        ),
        **UTF8,
    )


def _clusters() -> None:
    op.create_table(
        "clusters",
        sa.Column("id", ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("datastore_version_id", ID),
        sa.Column("configuration_id", ID),
        sa.Column("locality", sa.String(32)),
        sa.Column("extended_properties", TEXT),
        sa.Column("fault", sa.String(255)),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_clusters"),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"], ["datastore_versions.id"], name="fk_clusters_datastore_version_id", ondelete="SET NULL"
        ),
        **UTF8,
    )
    op.create_index("ix_clusters_tenant_id_deleted_created_id", "clusters", ["tenant_id", "deleted", "created", "id"])
    op.create_index("ix_clusters_datastore_version_id", "clusters", ["datastore_version_id"])
    op.create_index("ix_clusters_configuration_id", "clusters", ["configuration_id"])


def _modules() -> None:
    op.create_table(
        "modules",
        sa.Column("id", ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("contents", BINARY, nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("tenant_id", sa.String(64)),
        sa.Column("datastore_id", ID),
        sa.Column("datastore_version_id", ID),
        sa.Column("auto_apply", sa.Boolean(), nullable=False),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("live_update", sa.Boolean(), nullable=False),
        sa.Column("priority_apply", sa.Boolean(), nullable=False),
        sa.Column("apply_order", sa.Integer(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("md5", sa.String(32), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_modules"),
        **UTF8,
    )
    op.create_index("ix_modules_tenant_id_deleted", "modules", ["tenant_id", "deleted"])
    op.create_table(
        "instance_modules",
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("module_id", ID, nullable=False),
        sa.Column("md5", sa.String(32), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "module_id", name="pk_instance_modules"),
        **UTF8,
    )
    op.create_index("ix_instance_modules_module_id", "instance_modules", ["module_id"])


def downgrade() -> None:
    op.drop_index("ix_instances_created_id", "instances")
    op.drop_index("ix_instances_configuration_id", "instances")
    for table in (
        "instance_modules",
        "modules",
        "clusters",
        "datastore_configuration_parameters",
        "configuration_parameters",
        "configurations",
        "backup_strategy",
        "backups",
    ):
        op.drop_table(table)
    for column in ("ssl_ref", "ssl_mode", "locality"):
        op.drop_column("instances", column)
