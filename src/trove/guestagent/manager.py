"""What the control plane may ask of a guest: each remote method, thin, over the driver and the jobs."""

import logging
from collections.abc import Callable, Mapping
from typing import cast

from trove.bus.contract import Message
from trove.core.errors import GuestError, InvalidInput, Unsupported
from trove.core.json import JSON
from trove.core.trail import trail
from trove.datastores.contract import Databases, Driver, Facet, Host, Root, Spec, Users
from trove.guestagent import arguments, machine
from trove.guestagent.jobs import Jobs

LOG = logging.getLogger(__name__)

Method = Callable[[Mapping[str, JSON]], JSON]


class Manager:
    """Handles the messages of `guestagent.<id>`. Thread-safe."""

    def __init__(
        self, spec: Spec, driver: Driver, jobs: Jobs, *, host: Host, describe: Callable[[], Mapping[str, JSON]]
    ) -> None:
        self._spec = spec
        self._driver = driver
        self._jobs = jobs
        self._host = host
        self._describe = describe
        self._methods: dict[str, Method] = {
            "rpc_ping": lambda _: True,
            "get_status": lambda _: self._describe(),
            "get_diagnostics": lambda _: machine.diagnostics(self._host.server_pid(), self._driver.version()),
            "get_hwinfo": lambda _: machine.hardware(),
            "forget_jobs": self._forget_jobs,
            "cancel_job": lambda args: self._jobs.cancel(arguments.text(args, "name")),
            "create_database": lambda args: self._databases.create_databases(arguments.databases(args)),
            "list_databases": self._list_databases,
            "delete_database": lambda args: self._databases.delete_database(arguments.text(args, "name")),
            "create_user": lambda args: self._users.create_users(arguments.users(args)),
            "list_users": self._list_users,
            "get_user": lambda args: self._users.get_user(*_account(args)).to_json(),
            "update_attributes": self._update_attributes,
            "change_passwords": self._change_passwords,
            "delete_user": lambda args: self._users.delete_user(*_account(args)),
            "list_access": lambda args: list(self._users.list_access(*_account(args))),
            "grant_access": lambda args: self._users.grant_access(*_account(args), arguments.texts(args, "databases")),
            "revoke_access": lambda args: self._users.revoke_access(*_account(args), arguments.text(args, "database")),
            "enable_root": lambda args: self._root.enable_root(arguments.text(args, "root_password")),
            "disable_root": lambda _: self._root.disable_root(),
            "is_root_enabled": lambda _: self._root.root_enabled(),
        }

    def add(self, methods: Mapping[str, Method]) -> None:
        """Take more remote methods on, by name. Call it before the first message comes."""
        self._methods |= methods

    def handle(self, message: Message) -> JSON:
        """Do what the message asks and return the answer; raises `GuestError` for a method that does not exist."""
        with trail(request_id=message.request_id):
            return self._handle(message)

    def _handle(self, message: Message) -> JSON:
        LOG.debug("%s", message.method)
        if message.method == "start_job":
            args = message.args
            name, kind = arguments.text(args, "name"), arguments.text(args, "kind")
            self._jobs.start(name, kind, arguments.mapping(args, "args"), request_id=message.request_id)
            return None
        method = self._methods.get(message.method)
        if method is None:
            raise GuestError(f"The guest agent has no method '{message.method}'.")
        return method(message.args)

    def _forget_jobs(self, args: Mapping[str, JSON]) -> None:
        self._jobs.forget(arguments.texts(args, "names"))

    def _list_databases(self, args: Mapping[str, JSON]) -> JSON:
        page = self._databases.list_databases(limit=arguments.limit(args), marker=arguments.optional_text(args, "marker"))
        return {"items": [database.to_json() for database in page.items], "next_marker": page.next_marker}

    def _list_users(self, args: Mapping[str, JSON]) -> JSON:
        page = self._users.list_users(limit=arguments.limit(args), marker=arguments.optional_text(args, "marker"))
        return {"items": [user.to_json() for user in page.items], "next_marker": page.next_marker}

    def _update_attributes(self, args: Mapping[str, JSON]) -> None:
        wanted = arguments.mapping(args, "user_attrs")
        name, host, password = (arguments.optional_text(wanted, key) for key in ("name", "host", "password"))
        self._users.update_user(*_account(args), new_name=name, new_host=host, password=password)

    def _change_passwords(self, args: Mapping[str, JSON]) -> None:
        """Change none unless all the users are there and all the passwords are good."""
        users = arguments.users(args)
        for user in users:
            if user.password is None:
                raise InvalidInput(f"User '{user.name}' needs a password.")
            self._spec.check_password(user.password)
            self._users.get_user(user.name, user.host)
        for user in users:
            self._users.update_user(user.name, user.host, new_name=None, new_host=None, password=user.password)

    @property
    def _databases(self) -> Databases:
        return cast("Databases", self._facet(Facet.DATABASES))

    @property
    def _users(self) -> Users:
        return cast("Users", self._facet(Facet.USERS))

    @property
    def _root(self) -> Root:
        return cast("Root", self._facet(Facet.ROOT))

    def _facet(self, facet: Facet) -> Driver:
        if facet not in self._spec.facets:
            raise Unsupported(f"{self._spec.title} has no {facet.value}.")
        return self._driver


def _account(args: Mapping[str, JSON]) -> tuple[str, str]:
    return arguments.text(args, "username"), arguments.optional_text(args, "hostname") or "%"
