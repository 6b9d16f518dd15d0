"""Looks at the notifications that a world stored."""

from collections.abc import Iterable

from tests.support.world import World

from trove.core.notifications import Notification, Publisher
from trove.store import notifications

PUBLISHER = Publisher(
    id="trove-api.test",
    server_type="api",
    server_ip="192.0.2.1",
    service_ids={"mariadb": "11111111-2222-3333-4444-555555555555"},
)


def stored(here: World) -> tuple[Notification, ...]:
    """Return all that wait, oldest first."""
    with here.database.reading() as tx:
        return notifications.waiting(tx, 1000)


def types(found: Iterable[Notification]) -> list[str]:
    """Return their types."""
    return [each.event_type for each in found]


def forget(here: World) -> None:
    """Drop what was stored so far."""
    with here.database.transaction() as tx:
        notifications.trim(tx, 0)


def told(here: World, event_type: str) -> Notification:
    """Return the only one of a type."""
    (found,) = (each for each in stored(here) if each.event_type == event_type)
    return found
