"""Options of the datastore managers: a group each, all with the same options."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

MANAGERS = ("mariadb", "mysql", "percona", "postgresql", "redis", "valkey")

_OPTS = (
    cfg.BoolOpt(
        "root_on_create",
        default=False,
        help="Enable the superuser of each new instance. The answer to its creation has the password, shown this once.",
    ),
    cfg.ListOpt(
        "guest_log_exposed_logs",
        default=[],
        help="System logs that tenants see besides administrators: `error`, the server's own, and `guest`, the guest agent's.",
    ),
)


@dataclass(frozen=True, slots=True)
class Manager:
    """The group of one datastore manager, as the other groups are modules."""

    GROUP: str
    OPTS: Sequence[Any] = _OPTS


GROUPS = tuple(Manager(name) for name in MANAGERS)
