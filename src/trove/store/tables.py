"""The tables of the state database. Times are naive UTC with microseconds in the database, aware outside."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC with microseconds in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type; MySQL's has no fractions unless asked."""
        return mysql.DATETIME(fsp=6) if dialect.name in {"mysql", "mariadb"} else DateTime()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into naive UTC; a naive one is a mistake of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return (value if value.tzinfo is UTC else value.astimezone(UTC)).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Return what turns naive UTC into an aware time; one call a value, because lists have hundreds of them."""
        read = self.impl_instance.dialect_impl(dialect).result_processor(dialect, coltype)

        def process(value: Any) -> datetime | None:
            if value is None:
                return None
            moment = value if read is None else read(value)
            return None if moment is None else moment.replace(tzinfo=UTC)

        return process


LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
LongBinary = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
Id = String(36)

LIST_INDEX = "ix_instances_tenant_id_deleted_created_id"
"""Live instances of a project in the order of the list: a page is one short walk on it."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The binary collation makes names compare alike on all databases.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_MARIADB: dict[str, Any] = {key.replace("mysql", "mariadb"): value for key, value in _MYSQL.items()}


def _table(name: str, *items: Column[Any] | Index | UniqueConstraint) -> "Table[Any]":
    return Table(name, metadata, *items, **_MYSQL, **_MARIADB)


datastores = _table(
    "datastores",
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("default_version_id", Id),
)

datastore_versions = _table(
    "datastore_versions",
    Column("id", Id, primary_key=True),
    Column("datastore_id", Id, ForeignKey("datastores.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("version", String(255), nullable=False),
    Column("manager", String(255), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("image_id", String(255)),
    Column("image_tags", String(255), nullable=False),
    Column("packages", String(511), nullable=False),
    Column("registry_ext", String(255)),
    Column("repl_strategy", String(255)),
    UniqueConstraint("datastore_id", "name", "version"),
)

datastore_version_metadata = _table(
    "datastore_version_metadata",
    Column("id", Id, primary_key=True),
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(128), nullable=False),
    Column("value", String(128), nullable=False),
    UniqueConstraint("datastore_version_id", "key", "value"),
)

instances = _table(
    "instances",
    Column("id", Id, primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("task", String(32), nullable=False),
    Column("task_start_time", UtcDateTime),
    Column("flavor_id", String(255), nullable=False),
    Column("ram_mib", Integer, nullable=False),
    Column("volume_size", Integer),
    Column("volume_type", String(255)),
    Column("volume_id", String(255)),
    Column("compute_instance_id", String(255)),
    Column("server_status", String(64)),
    Column("addresses", LongText),
    Column("port", Integer),
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="SET NULL"), index=True),
    Column("configuration_id", Id, index=True),
    Column("slave_of_id", Id, index=True),
    Column("cluster_id", Id, index=True),
    Column("shard_id", Id),
    Column("type", String(64)),
    Column("region_id", String(255)),
    Column("availability_zone", String(255)),
    Column("access", LongText),
    Column("encrypted_key", LongBinary),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("locality", String(32)),
    Column("ssl_mode", String(32)),
    Column("ssl_ref", String(255)),
    Column("hostname", String(255)),
    Index(LIST_INDEX, "tenant_id", "deleted", "created", "id"),
    Index(None, "created", "id"),
)

instance_faults = _table(
    "instance_faults",
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("message", String(255), nullable=False),
    Column("details", LongText),
    Column("created", UtcDateTime, nullable=False),
)

service_statuses = _table(
    "service_statuses",
    Column("instance_id", Id, primary_key=True),
    Column("status", String(64), nullable=False),
    Column("status_updated", UtcDateTime, nullable=False),
    Column("sent", UtcDateTime),
    Column("heard_at", UtcDateTime),
    Column("agent_version", String(255)),
    Column("datastore_version", String(255)),
    Column("restarts", Integer, nullable=False),
    Column("volume_used_bytes", BigInteger),
    Column("volume_total_bytes", BigInteger),
    Column("replica_state", LongText),
)

guest_jobs = _table(
    "guest_jobs",
    Column("instance_id", Id, primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("sent", UtcDateTime, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("step", String(255), nullable=False),
    Column("error", LongText),
    Column("result", LongText),
)

operations = _table(
    "operations",
    Column("id", Id, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", Id, nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", String(255), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("owner", String(255)),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("deadline", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Column("error", LongText),
    Column("args", LongText, nullable=False),
    Column("secrets", LongBinary),
    Column("lease_until", UtcDateTime),
    Column("reserved", LongText),
    Column("client_ip", String(64)),
    Index(None, "project_id", "created", "id"),
    Index(None, "resource_id", "created", "id"),
    Index(None, "state", "created", "id"),
)

quotas = _table(
    "quotas",
    Column("tenant_id", String(64), primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False),
)

quota_usages = _table(
    "quota_usages",
    Column("tenant_id", String(64), primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("in_use", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
)

orphans = _table(
    "orphans",
    Column("kind", String(32), primary_key=True),
    Column("resource_id", Id, primary_key=True),
    Column("reason", String(255), nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
)

root_enabled_history = _table(
    "root_enabled_history",
    Column("id", Id, primary_key=True),
    Column("user", String(255), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
)

backups = _table(
    "backups",
    Column("id", Id, primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255)),
    Column("tenant_id", String(64), nullable=False),
    Column("instance_id", Id),
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="SET NULL"), index=True),
    Column("parent_id", Id, index=True),
    Column("state", String(32), nullable=False),
    Column("backup_type", String(32), nullable=False),
    Column("storage_driver", String(32), nullable=False),
    Column("container", String(255)),
    Column("location", String(1024)),
    Column("checksum", String(128)),
    Column("size_bytes", BigInteger),
    Column("note", LongText),
    Column("deleting", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(None, "tenant_id", "deleted", "created", "id"),
    Index(None, "instance_id", "deleted"),
)

instance_tls = _table(
    "instance_tls",
    Column("instance_id", Id, primary_key=True),
    Column("certificate", LongText),
    Column("sealed", LongBinary),
    Column("restart_required", Boolean, nullable=False),
)

backup_keys = _table(
    "backup_keys",
    Column("id", Id, primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("sealed", LongBinary, nullable=False),
    Index(None, "tenant_id", "created"),
)

backup_strategies = _table(
    "backup_strategy",
    Column("tenant_id", String(64), primary_key=True),
    Column("instance_id", Id, primary_key=True, server_default=""),
    Column("backend", String(32), nullable=False),
    Column("swift_container", String(255), nullable=False),
)

configurations = _table(
    "configurations",
    Column("id", Id, primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255)),
    Column("tenant_id", String(64), nullable=False),
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="SET NULL"), index=True),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(None, "tenant_id", "deleted", "id"),
)

configuration_parameters = _table(
    "configuration_parameters",
    Column("configuration_id", Id, ForeignKey("configurations.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", LongText, nullable=False),
)

datastore_configuration_parameters = _table(
    "datastore_configuration_parameters",
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("restart_required", Boolean, nullable=False),
    Column("data_type", String(32), nullable=False),
    Column("min_size", String(40)),
    Column("max_size", String(40)),
)

clusters = _table(
    "clusters",
    Column("id", Id, primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("task", String(32), nullable=False),
    Column("datastore_version_id", Id, ForeignKey("datastore_versions.id", ondelete="SET NULL"), index=True),
    Column("configuration_id", Id, index=True),
    Column("locality", String(32)),
    Column("extended_properties", LongText),
    Column("fault", String(255)),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(None, "tenant_id", "deleted", "created", "id"),
)

modules = _table(
    "modules",
    Column("id", Id, primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("contents", LongBinary, nullable=False),
    Column("description", String(255)),
    Column("tenant_id", String(64)),
    Column("datastore_id", Id),
    Column("datastore_version_id", Id),
    Column("auto_apply", Boolean, nullable=False),
    Column("visible", Boolean, nullable=False),
    Column("live_update", Boolean, nullable=False),
    Column("priority_apply", Boolean, nullable=False),
    Column("apply_order", Integer, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(None, "tenant_id", "deleted"),
)

instance_modules = _table(
    "instance_modules",
    Column("instance_id", Id, primary_key=True),
    Column("module_id", Id, primary_key=True, index=True),
    Column("md5", String(32), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False),
)

# SQLite would give the number of a row that is gone to a new one.
notifications: "Table[Any]" = Table(
    "notifications",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("created", UtcDateTime, nullable=False),
    Column("publisher_id", String(255), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("payload", LongText, nullable=False),
    sqlite_autoincrement=True,
    **_MYSQL,
    **_MARIADB,
)

notification_periods = _table(
    "notification_periods",
    Column("name", String(32), primary_key=True),
    Column("began", UtcDateTime, nullable=False),
)

workflow_items = _table(
    "workflow_items",
    Column("flow_id", String(64), primary_key=True),
    Column("path", String(191), primary_key=True),
    Column("value", LongBinary, nullable=False),
)
