"""From the configuration to notifications: who stores them, what publishes them, and what is told periodically."""

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from trove.bus.contract import NotificationTransport
from trove.core.errors import InvalidInput
from trove.core.notifications import Publisher

if TYPE_CHECKING:
    from trove.taskmanager.reports import ReportSettings

DRIVERS = frozenset({"messaging", "messagingv2", "routing", "log", "test", "noop"})
SENT = frozenset({"messaging", "messagingv2", "routing"})
NOWHERE = "fake://"
"""A transport for drivers that use none; oslo.messaging insists on one."""
SERVER_TYPES = {"trove-api": "api", "trove-taskmanager": "taskmanager"}


def wanted(conf: Any) -> bool:
    """Tell whether notifications are published at all. Raises `InvalidInput` for an unknown driver."""
    drivers = set(conf.oslo_messaging_notifications.driver) - {""}
    if unknown := sorted(drivers - DRIVERS):
        raise InvalidInput(f"[oslo_messaging_notifications] driver: {unknown[0]!r} is none of {', '.join(sorted(DRIVERS))}")
    return bool(drivers - {"noop"})


def publisher(conf: Any, service: str | None) -> Publisher | None:
    """Return in whose name a service stores notifications; None when it stores none."""
    if service not in SERVER_TYPES or not wanted(conf):
        return None
    return Publisher(
        id=f"{service}.{conf.host or socket.gethostname()}",
        server_type=SERVER_TYPES[service],
        server_ip=_own_address(conf),
        service_ids=dict(conf.notification_service_id),
    )


def transport(conf: Any) -> NotificationTransport | None:
    """Return what publishes notifications; None when none are published. Raises `InvalidInput`."""
    if not wanted(conf):
        return None
    try:
        from trove.bus.notifications import OsloTransport
    except ImportError as error:
        raise InvalidInput(
            f"[oslo_messaging_notifications] driver: needs the Python package {error.name}, as in `trove[notifications]`"
        ) from error
    # It declares options of the same names as ours, and reads many more: the same files, in a configuration of its own.
    own = cfg.ConfigOpts()
    own([], project="trove", default_config_files=conf.config_file, default_config_dirs=conf.config_dir)
    url = conf.oslo_messaging_notifications.transport_url or conf.transport_url
    return OsloTransport(own, url if set(conf.oslo_messaging_notifications.driver) & SENT else NOWHERE)


def report_settings(conf: Any) -> "ReportSettings":
    """Return what is told periodically."""
    from trove.taskmanager.reports import ReportSettings

    exists = conf.exists_notifications or bool(conf.exists_notification_transformer)
    return ReportSettings(
        instances_every_s=conf.exists_notification_interval if exists and wanted(conf) else 0,
        quotas_every_s=conf.quota_notification_interval if wanted(conf) else 0,
        most_waiting=conf.max_waiting_notifications,
    )


def _own_address(conf: Any) -> str:
    """Return the address that clients reach this machine by, as far as it is known here."""
    if not ipaddress.ip_address(_literal(conf.bind_host)).is_unspecified:
        return _literal(conf.bind_host)
    try:
        return str(socket.getaddrinfo(conf.host or socket.gethostname(), None)[0][4][0])
    except OSError:
        return "127.0.0.1"


def _literal(host: str) -> str:
    """Return an address as it is; a name counts as unknown."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return "0.0.0.0"  # noqa: S104
