"""The first tables: datastores, instances and their guests, operations, quotas, workflows."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(36)
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
UTF8: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    _datastores()
    _instances()
    _guests()
    _operations()
    _quotas()


def downgrade() -> None:
    tables = (
        "datastores",
        "datastore_versions",
        "datastore_version_metadata",
        "instances",
        "instance_faults",
        "service_statuses",
        "guest_jobs",
        "root_enabled_history",
        "operations",
        "workflow_items",
        "quotas",
        "quota_usages",
    )
    for table in reversed(tables):
        op.drop_table(table)


def _datastores() -> None:
    op.create_table(
        "datastores",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("default_version_id", ID),
        sa.PrimaryKeyConstraint("id", name="pk_datastores"),
        sa.UniqueConstraint("name", name="uq_datastores_name"),
        **UTF8,
    )
    op.create_table(
        "datastore_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("datastore_id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("manager", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("image_id", sa.String(length=255)),
        sa.Column("image_tags", sa.String(length=255), nullable=False),
        sa.Column("packages", sa.String(length=511), nullable=False),
        sa.Column("registry_ext", sa.String(length=255)),
        sa.Column("repl_strategy", sa.String(length=255)),
        sa.ForeignKeyConstraint(["datastore_id"], ["datastores.id"], name="fk_datastore_versions_datastore_id"),
        sa.PrimaryKeyConstraint("id", name="pk_datastore_versions"),
        sa.UniqueConstraint("datastore_id", "name", "version", name="uq_datastore_versions_datastore_id_name_version"),
        **UTF8,
    )
    op.create_table(
        "datastore_version_metadata",
        sa.Column("id", ID, nullable=False),
        sa.Column("datastore_version_id", ID, nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name="fk_datastore_version_metadata_datastore_version_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_datastore_version_metadata"),
        sa.UniqueConstraint(
            "datastore_version_id", "key", "value", name="uq_datastore_version_metadata_datastore_version_id_key_value"
        ),
        **UTF8,
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("task_start_time", TIME),
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("ram_mib", sa.Integer(), nullable=False),
        sa.Column("volume_size", sa.Integer()),
        sa.Column("volume_type", sa.String(length=255)),
        sa.Column("volume_id", sa.String(length=255)),
        sa.Column("compute_instance_id", sa.String(length=255)),
        sa.Column("server_status", sa.String(length=64)),
        sa.Column("addresses", TEXT),
        sa.Column("port", sa.Integer()),
        sa.Column("datastore_version_id", ID),
        sa.Column("configuration_id", ID),
        sa.Column("slave_of_id", ID),
        sa.Column("cluster_id", ID),
        sa.Column("shard_id", ID),
        sa.Column("type", sa.String(length=64)),
        sa.Column("region_id", sa.String(length=255)),
        sa.Column("availability_zone", sa.String(length=255)),
        sa.Column("access", TEXT),
        sa.Column("encrypted_key", BLOB),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", TIME),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"], ["datastore_versions.id"], name="fk_instances_datastore_version_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        **UTF8,
    )
    op.create_index("ix_instances_cluster_id", "instances", ["cluster_id"])
    op.create_index("ix_instances_datastore_version_id", "instances", ["datastore_version_id"])
    op.create_index("ix_instances_slave_of_id", "instances", ["slave_of_id"])
    op.create_index("ix_instances_tenant_id_deleted_created_id", "instances", ["tenant_id", "deleted", "created", "id"])
    op.create_table(
        "instance_faults",
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("message", sa.String(length=255), nullable=False),
        sa.Column("details", TEXT),
        sa.Column("created", TIME, nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_instance_faults_instance_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("instance_id", name="pk_instance_faults"),
        **UTF8,
    )


def _guests() -> None:
    op.create_table(
        "service_statuses",
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("status_updated", TIME, nullable=False),
        sa.Column("sent", TIME),
        sa.Column("heard_at", TIME),
        sa.Column("agent_version", sa.String(length=255)),
        sa.Column("datastore_version", sa.String(length=255)),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("volume_used_bytes", sa.BigInteger()),
        sa.Column("volume_total_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("instance_id", name="pk_service_statuses"),
        **UTF8,
    )
    op.create_table(
        "guest_jobs",
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sent", TIME, nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=255), nullable=False),
        sa.Column("error", TEXT),
        sa.Column("result", TEXT),
        sa.PrimaryKeyConstraint("instance_id", "name", name="pk_guest_jobs"),
        **UTF8,
    )
    op.create_table(
        "root_enabled_history",
        sa.Column("id", ID, nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("deleted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_root_enabled_history"),
        **UTF8,
    )


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=255), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=255)),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("deadline", TIME, nullable=False),
        sa.Column("started", TIME),
        sa.Column("finished", TIME),
        sa.Column("error", TEXT),
        sa.Column("args", TEXT, nullable=False),
        sa.Column("secrets", BLOB),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
        **UTF8,
    )
    op.create_index("ix_operations_project_id_created_id", "operations", ["project_id", "created", "id"])
    op.create_index("ix_operations_resource_id_created_id", "operations", ["resource_id", "created", "id"])
    op.create_index("ix_operations_state_created_id", "operations", ["state", "created", "id"])
    op.create_table(
        "workflow_items",
        sa.Column("flow_id", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=191), nullable=False),
        sa.Column("value", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "path", name="pk_workflow_items"),
        **UTF8,
    )


def _quotas() -> None:
    op.create_table(
        "quotas",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "resource", name="pk_quotas"),
        **UTF8,
    )
    op.create_table(
        "quota_usages",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("in_use", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "resource", name="pk_quota_usages"),
        **UTF8,
    )
