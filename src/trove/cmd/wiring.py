"""From the configuration to the doors: the one place that picks real adapters."""

import base64
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trove.bus.contract import CONTROL, Admission, Bus
from trove.cmd import clouds, machines, notifications, objects
from trove.config.datastores import MANAGERS
from trove.core.errors import InvalidInput, NotFound, Refused, Unavailable
from trove.operations.doors import BackupSettings, Doors, Limits, LogSettings, ModuleSettings, Settings
from trove.operations.reconcile.round import ReconcileSettings
from trove.store import instances, operations
from trove.store.session import Database
from trove.store.vault import Vault

KEY_CACHE_S = 300.0
MOST_CACHED_KEYS = 100_000


class StoredKeys:
    """The keyring of the control plane: its own key from the key file, the guests' from the state database.

    Keys of guests are remembered for some minutes, well over the time between heartbeats. What a guest reports after its
    instance was deleted opens so long, and is then ignored for want of the row.
    """

    def __init__(self, database: Database, control_key: bytes) -> None:
        self._database = database
        self._control_key = control_key
        self._cache: dict[str, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "<StoredKeys>"

    def key(self, principal: str) -> bytes:
        """Return the 32-byte key of `principal`; raise `Refused` when it has none."""
        if principal == CONTROL:
            return self._control_key
        now = time.monotonic()
        cached = self._cache.get(principal)
        if cached is not None and cached[0] > now:
            return cached[1]
        try:
            with self._database.reading() as tx:
                key = instances.guest_key(tx, principal)
        except NotFound as error:
            raise Refused(f"There is no instance {principal}.") from error
        with self._lock:
            if len(self._cache) >= MOST_CACHED_KEYS:
                self._cache.clear()
            self._cache[principal] = (now + KEY_CACHE_S, key)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What every service stands on."""

    conf: Any
    database: Database
    keys: StoredKeys

    def close(self) -> None:
        """Let go of the state database. May run twice."""
        self.database.close()


def foundation(conf: Any, service: str | None = None) -> Foundation:
    """Open the key file and the state database, without connecting yet. Raises `InvalidInput` naming what is wrong.

    `service` is in whose name notifications are stored; None stores none.
    """
    path = conf.secrets.key_file
    vault = Vault.from_file(path, create=conf.secrets.create_key_file)
    database = Database(
        conf.database.connection,
        vault=vault,
        publisher=notifications.publisher(conf, service),
        sync_wait=conf.database.mysql_wsrep_sync_wait,
    )
    return Foundation(conf=conf, database=database, keys=StoredKeys(database, control_key(path)))


def control_key(key_file: str) -> bytes:
    """Return the key that seals what travels inside the control plane, derived from the last (oldest) key of the file.

    The oldest, so that a new key in front changes nothing on the bus: guests' passwords there derive from this one, too.
    """
    lines = [line.strip() for line in Path(key_file).read_bytes().splitlines()]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    derived: bytes = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"trove control plane bus").derive(
        base64.urlsafe_b64decode(keys[-1])
    )
    return derived


def probe_database(database: Database) -> None:
    """Raise `Unavailable` unless the state database answers and has its tables."""
    from sqlalchemy.exc import DBAPIError

    try:
        with database.reading() as tx:
            operations.unfinished(tx, limit=1)
    except DBAPIError as error:
        raise Unavailable(f"{_complaint(database)} The driver says: {type(error.orig).__name__}: {error.orig}") from error


def _complaint(database: Database) -> str:
    from sqlalchemy.exc import DBAPIError

    from trove.store import schema

    try:
        revision = schema.current(database)
    except (DBAPIError, Unavailable):
        return "The state database does not let us in: check [database] connection."
    if revision is None:
        return "The state database lacks tables; `trove-manage db upgrade` makes them."
    return f"The state database is at revision {revision}, not {schema.head()}; `trove-manage db upgrade` mends that."


def host_name(conf: Any) -> str:
    """Return the name of this machine."""
    return str(conf.host or socket.gethostname())


def member(conf: Any, service: str) -> str:
    """Return a name for this process among the holders of locks and owners of operations."""
    return f"{service}@{host_name(conf)}:{os.getpid()}"


def bus(base: Foundation, service: str) -> Bus:
    """Return the connection of the control plane to the bus."""
    from trove.bus import rpc

    return rpc.connect(transport_url(base.conf), principal=CONTROL, keyring=base.keys, host_label=member(base.conf, service))


def admission(base: Foundation) -> Admission:
    """Return what lets guests onto the bus."""
    from trove.bus import admission as admissions

    conf = base.conf
    return admissions.admission(
        transport_url(conf),
        keyring=base.keys,
        management_url=conf.bus.management_url,
        # Not with the services' own certificate: guests have none.
        guest_url=conf.bus.guest_transport_url or transport_url(conf, own_certificate=False),
        management_tls=_management_tls(conf),
    )


def transport_url(conf: Any, *, own_certificate: bool = True) -> str:
    """Return where the bus is, with what `[oslo_messaging_rabbit]` says about TLS. Raises `InvalidInput`."""
    from trove.bus.links import AMQP_SCHEMES, with_tls

    rabbit = conf.oslo_messaging_rabbit
    url = str(conf.transport_url)
    if not rabbit.rabbit_quorum_queue:
        raise InvalidInput("[oslo_messaging_rabbit] rabbit_quorum_queue: queues are always quorum queues; leave it true")
    scheme = url.partition("://")[0]
    if not (rabbit.ssl or AMQP_SCHEMES.get(scheme)):
        return url
    if scheme not in AMQP_SCHEMES:
        raise InvalidInput("[oslo_messaging_rabbit] ssl: is for RabbitMQ; with Valkey transport_url begins with valkeys://")
    files = {"ca_file": rabbit.ssl_ca_file}
    if own_certificate:
        files |= {"cert_file": rabbit.ssl_cert_file, "key_file": rabbit.ssl_key_file}
    return with_tls(url, **files)


def _management_tls(conf: Any) -> ssl.SSLContext | None:
    """Return whom RabbitMQ's management API may be shown by; None for whom the system trusts."""
    rabbit = conf.oslo_messaging_rabbit
    if not (rabbit.ssl_ca_file and str(conf.bus.management_url).startswith("https:")):
        return None
    try:
        context = ssl.create_default_context(cafile=rabbit.ssl_ca_file)
        if rabbit.ssl_cert_file:
            context.load_cert_chain(rabbit.ssl_cert_file, rabbit.ssl_key_file or None)
    except OSError as error:
        raise InvalidInput(f"[oslo_messaging_rabbit] ssl_ca_file, ssl_cert_file, ssl_key_file: {error.strerror}") from error
    return context


def doors(base: Foundation, connection: Bus) -> Doors:
    """Return everything an operation may touch."""
    from trove.bus.taskmanager import BusAnnouncer

    cloud = clouds.cloud(base.conf)
    return Doors(
        database=base.database,
        cloud=cloud,
        names=clouds.names(base.conf, cloud),
        keys=clouds.keys(base.conf),
        bus=connection,
        admission=admission(base),
        objects=objects.store(base.conf, Path(base.conf.secrets.key_file).read_bytes()),
        announcer=BusAnnouncer(connection),
        settings=settings(base.conf),
    )


def settings(conf: Any) -> Settings:
    """Return what operators set and operations read."""
    if conf.agent_heartbeat_expiry <= conf.report_interval:
        raise InvalidInput("agent_heartbeat_expiry: must be greater than report_interval")
    return Settings(
        limits=Limits(
            max_instances=conf.max_instances_per_tenant,
            max_volumes_gib=conf.max_volumes_per_tenant,
            max_backups=conf.max_backups_per_tenant,
            max_ram_mib=conf.max_ram_per_tenant,
            max_volume_size_gib=conf.max_accepted_volume_size,
            max_pending_operations=conf.max_pending_operations,
        ),
        backups=BackupSettings(
            container=conf.backup_swift_container,
            replica_container=conf.replica_snapshot_container,
            storage_driver=conf.storage_strategy,
            timeout_s=conf.backup_time_out,
            segment_bytes=conf.backup_segment_max_size,
            running_expires_days=conf.running_backups_expires,
            encrypted=conf.backup_encryption,
            stall_timeout_s=conf.backup_stall_time_out,
            before_upgrade=conf.backup_before_upgrade,
        ),
        logs=LogSettings(
            container=conf.guest_log_container_name,
            piece_bytes=conf.guest_log_limit,
            keep_s=conf.guest_log_expiry,
            exposed={name: frozenset(conf[name].guest_log_exposed_logs) for name in MANAGERS},
        ),
        modules=ModuleSettings(
            types=tuple(conf.module_types),
            reapply_max_batch_size=conf.module_reapply_max_batch_size,
            reapply_min_batch_delay_s=conf.module_reapply_min_batch_delay,
        ),
        machines=machines.machines(conf),
        volume_support=conf.trove_volume_support,
        region=conf.region,
        default_datastore=conf.default_datastore,
        root_on_create=frozenset(name for name in MANAGERS if conf[name].root_on_create),
        heartbeat_expiry_s=conf.agent_heartbeat_expiry,
        build_timeout_s=conf.usage_timeout,
        restore_timeout_s=conf.restore_usage_timeout,
        restart_timeout_s=conf.state_change_wait_time,
        resize_timeout_s=conf.resize_time_out,
        failover_timeout_s=conf.failover_time_out,
        delete_timeout_s=conf.server_delete_time_out,
        reboot_timeout_s=conf.reboot_time_out,
        volume_timeout_s=conf.volume_time_out,
        name_timeout_s=conf.dns_time_out,
        revert_timeout_s=conf.revert_time_out,
        guest_call_timeout_s=conf.agent_call_low_timeout,
        heartbeat_interval_s=conf.report_interval,
    )


def reconcile_settings(conf: Any) -> ReconcileSettings:
    """Return how much the reconciler does in a round."""
    return ReconcileSettings(
        batch=conf.reconciler.batch,
        vanished_percent=conf.reconciler.vanished_percent,
        unowned_after_s=conf.reconciler.unowned_after,
    )
