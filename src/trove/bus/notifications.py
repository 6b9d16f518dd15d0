"""Publishes notifications with oslo.messaging, for Ceilometer and the like. Loaded by the task manager alone, if at all."""

from typing import Any

from oslo_service import backend

# Before oslo.messaging is loaded, which would load eventlet.
if backend.get_backend_type() is None:
    backend.init_backend(backend.BackendType.THREADING)

import oslo_messaging

from trove.core.errors import InvalidInput
from trove.core.notifications import Notification


class OsloTransport:
    """Publishes (`bus.contract.NotificationTransport`) as `conf`, oslo.messaging's own configuration, says.

    With oslo.messaging's default `retry` of -1 publishing waits for a broker that is away. What the broker itself refuses, or
    what was retried often enough, is lost: oslo.messaging logs it with its payload as an ERROR, and does not tell us.
    """

    def __init__(self, conf: Any, url: str) -> None:
        """Take on `url`, of a scheme that oslo.messaging knows; nothing connects yet. Raises `InvalidInput`."""
        try:
            self._transport = oslo_messaging.get_notification_transport(conf, url=url)
        except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
            raise InvalidInput(
                f"[oslo_messaging_notifications] transport_url: oslo.messaging cannot publish to {url.partition('://')[0]}://; "
                "RabbitMQ is rabbit://user:password@host:5672/vhost"
            ) from error
        self._notifier = oslo_messaging.Notifier(self._transport)

    def publish(self, notification: Notification) -> None:
        """Publish with priority INFO."""
        self._notifier.prepare(publisher_id=notification.publisher_id).info(
            {}, notification.event_type, dict(notification.payload)
        )

    def close(self) -> None:
        """Let go of the broker."""
        self._transport.cleanup()
