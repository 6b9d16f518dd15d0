"""A consumer of notifications such as Ceilometer: oslo.messaging's own listener on a real RabbitMQ."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oslo_config import cfg
from tests.support.rabbitmq import RabbitServer

from trove.bus.notifications import oslo_messaging

DEADLINE_S = 60.0


class Heard:
    """What a consumer such as Ceilometer heard."""

    def __init__(self) -> None:
        self._messages: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue()

    def info(self, _context: object, publisher_id: str, event_type: str, payload: dict[str, Any], _metadata: object) -> None:
        """Hear one (the name is oslo.messaging's: a method for each priority)."""
        self._messages.put((publisher_id, event_type, payload))

    def next(self) -> tuple[str, str, dict[str, Any]]:
        """Return the next one."""
        return self._messages.get(timeout=DEADLINE_S)

    def types(self, count: int) -> list[str]:
        """Return the types of the next `count`."""
        return [self.next()[1] for _ in range(count)]


def url_of(server: RabbitServer) -> str:
    return "rabbit" + server.url.removeprefix("amqp")


@contextmanager
def listening(server: RabbitServer, *, topic: str = "notifications", exchange: str = "openstack") -> Iterator[Heard]:
    """Listen as consumers do."""
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=url_of(server))
    heard = Heard()
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=topic, exchange=exchange)], [heard], executor="threading"
    )
    listener.start()
    try:
        yield heard
    finally:
        listener.stop()
        listener.wait()
        transport.cleanup()
