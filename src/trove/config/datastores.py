"""Options of the datastore managers: a group each, with options of the same names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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


_PLACES = {"mariadb": "mysql", "percona": "mysql"}
"""Directories below `/var/lib` that are not called as the manager is."""


@dataclass(frozen=True, slots=True)
class Manager:
    """The group of one datastore manager, as the other groups are modules."""

    GROUP: str

    @property
    def OPTS(self) -> Sequence[Any]:  # noqa: N802  as in the modules
        """Return its options."""
        return (*_OPTS, *_of_manager(self.GROUP))


@cache
def _of_manager(name: str) -> Sequence[Any]:
    return (
        cfg.StrOpt(
            "mount_point",
            default=f"/var/lib/{_PLACES.get(name, name)}",
            help="Directory in a server where the data volume is mounted, on cloud = openstack. It is kept for good.",
        ),
    )


GROUPS = tuple(Manager(name) for name in MANAGERS)
