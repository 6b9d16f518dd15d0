"""One dialect for the two command line clients: a command is named as `openstack` names it, the table has the other name."""

import re
from dataclasses import dataclass
from typing import Any

from tests.support.clients import Clients, Done

NAMES = {
    "database backup create": "backup-create",
    "database backup delete": "backup-delete",
    "database backup execution delete": "execution-delete",
    "database backup list": "backup-list",
    "database backup list instance": "backup-list-instance",
    "database backup show": "backup-show",
    "database cluster create": "cluster-create",
    "database cluster delete": "cluster-delete",
    "database cluster force delete": "cluster-force-delete",
    "database cluster grow": "cluster-grow",
    "database cluster list": "cluster-list",
    "database cluster list instances": "cluster-instances",
    "database cluster modules": "cluster-modules",
    "database cluster reset status": "cluster-reset-status",
    "database cluster show": "cluster-show",
    "database cluster shrink": "cluster-shrink",
    "database cluster upgrade": "cluster-upgrade",
    "database configuration attach": "configuration-attach",
    "database configuration create": "configuration-create",
    "database configuration default": "configuration-default",
    "database configuration delete": "configuration-delete",
    "database configuration detach": "configuration-detach",
    "database configuration instances": "configuration-instances",
    "database configuration list": "configuration-list",
    "database configuration parameter list": "configuration-parameter-list",
    "database configuration parameter set": "configuration-patch",
    "database configuration parameter show": "configuration-parameter-show",
    "database configuration set": "configuration-update",
    "database configuration show": "configuration-show",
    "database db create": "database-create",
    "database db delete": "database-delete",
    "database db list": "database-list",
    "database flavor list": "flavor-list",
    "database flavor show": "flavor-show",
    "database instance create": "create",
    "database instance delete": "delete",
    "database instance eject": "eject-replica-source",
    "database instance force delete": "force-delete",
    "database instance list": "list",
    "database instance promote": "promote-to-replica-source",
    "database instance reset status": "reset-status",
    "database instance resize flavor": "resize-instance",
    "database instance resize volume": "resize-volume",
    "database instance restart": "restart",
    "database instance show": "show",
    "database instance upgrade": "upgrade",
    "database limit list": "limit-list",
    "database log list": "log-list",
    "database log save": "log-save",
    "database log show": "log-show",
    "database log tail": "log-tail",
    "database quota show": "quota-show",
    "database quota update": "quota-update",
    "database root disable": "root-disable",
    "database root enable": "root-enable",
    "database root show": "root-show",
    "database user create": "user-create",
    "database user delete": "user-delete",
    "database user grant access": "user-grant-access",
    "database user list": "user-list",
    "database user revoke access": "user-revoke-access",
    "database user show": "user-show",
    "database user show access": "user-show-access",
    "database user update attributes": "user-update-attributes",
    "datastore list": "datastore-list",
    "datastore show": "datastore-show",
    "datastore version list": "datastore-version-list",
    "datastore version show": "datastore-version-show",
}
"""What both clients can do."""


@dataclass(frozen=True, kw_only=True)
class Shell:
    """One of the two clients, spoken to as `openstack`."""

    name: str
    use: Clients

    def run(self, command: str, *words: str, user: str = "demo", status: int = 0) -> Done:
        """Run a command."""
        if self.name == "openstack":
            return self.use.openstack(command, *words, user=user, status=status)
        return self.use.trove(NAMES[command], *words, user=user, status=status)

    def shown(self, command: str, *words: str, user: str = "demo") -> Any:
        """Run a command that shows something; return its rows, or its one thing, with the names of columns as in the API."""
        if self.name == "openstack":
            return _renamed(self.use.shown(command, *words, user=user))
        return self.use.told(NAMES[command], *words, user=user)

    def option(self, name: str) -> str:
        """Return an option: the older client separates its words by underscores."""
        return name if self.name == "openstack" else "--" + name[2:].replace("-", "_")

    def fails(self, command: str, *words: str, user: str = "demo") -> str:
        """Run a command that must fail; return what it said."""
        return self.run(command, *words, user=user, status=1).said


def _renamed(shown: Any) -> Any:
    if isinstance(shown, list):
        return [_renamed(row) for row in shown]
    return {re.sub(r"\W+", "_", name).lower(): value for name, value in shown.items()}
