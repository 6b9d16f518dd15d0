"""Typed calls from the control plane to one guest agent."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from trove.bus.contract import Bus, guest_topic
from trove.core.accounts import Database, User
from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.core.logs import LogReport
from trove.core.modules import ModuleResult
from trove.core.pages import Page
from trove.core.tls import Tls

T = TypeVar("T")


class GuestCaller:
    """The guest agent of one instance.

    Every method raises `GuestTimeout`, `Unavailable`, or the error that the guest answered with. Calls wait up to `timeout_s`;
    `start_job` and `forget_jobs` are casts: they return when the bus has them.
    """

    def __init__(self, bus: Bus, instance_id: str, *, timeout_s: float, request_id: str | None = None) -> None:
        self._bus = bus
        self._topic = guest_topic(instance_id)
        self._timeout_s = timeout_s
        self._request_id = request_id

    def rpc_ping(self) -> None:
        """Return when the guest agent answered."""
        self._call("rpc_ping", {})

    def get_status(self) -> Mapping[str, JSON]:
        """Return what the guest would report now: `status` and the other arguments of a heartbeat."""
        return _object(self._call("get_status", {}), "get_status")

    def get_diagnostics(self) -> Mapping[str, JSON]:
        """Return figures of the database server's process: `version`, `threads`, `fdSize`, and `vm*` in KiB."""
        return _object(self._call("get_diagnostics", {}), "get_diagnostics")

    def get_hwinfo(self) -> Mapping[str, JSON]:
        """Return `mem_total` in KiB and `num_cpus` of the guest's machine."""
        return _object(self._call("get_hwinfo", {}), "get_hwinfo")

    def create_database(self, databases: Sequence[Database]) -> None:
        """Create databases, all or none."""
        self._call("create_database", {"databases": [each.to_json() for each in databases]})

    def list_databases(self, limit: int, marker: str | None = None) -> Page[Database]:
        """Return the databases after `marker` by name."""
        return _page(self._call("list_databases", {"limit": limit, "marker": marker}), Database.from_json, "list_databases")

    def delete_database(self, name: str) -> None:
        """Drop a database."""
        self._call("delete_database", {"name": name})

    def create_user(self, users: Sequence[User]) -> None:
        """Create users with their grants, all or none."""
        self._call("create_user", {"users": [each.to_json() for each in users]})

    def list_users(self, limit: int, marker: str | None = None) -> Page[User]:
        """Return the users after `marker` (name@host), without passwords."""
        return _page(self._call("list_users", {"limit": limit, "marker": marker}), User.from_json, "list_users")

    def get_user(self, username: str, hostname: str) -> User:
        """Return one user without its password."""
        return _read(self._call("get_user", {"username": username, "hostname": hostname}), User.from_json, "get_user")

    def update_attributes(
        self,
        username: str,
        hostname: str,
        *,
        new_name: str | None = None,
        new_host: str | None = None,
        password: str | None = None,
    ) -> None:
        """Change what is not None of a user."""
        given: dict[str, JSON] = {"name": new_name, "host": new_host, "password": password}
        attributes: dict[str, JSON] = {key: value for key, value in given.items() if value is not None}
        self._call("update_attributes", {"username": username, "hostname": hostname, "user_attrs": attributes})

    def change_passwords(self, users: Sequence[User]) -> None:
        """Set the passwords of users, found by name and host."""
        self._call("change_passwords", {"users": [each.to_json() for each in users]})

    def delete_user(self, username: str, hostname: str) -> None:
        """Drop a user."""
        self._call("delete_user", {"username": username, "hostname": hostname})

    def list_access(self, username: str, hostname: str) -> tuple[str, ...]:
        """Return the names of the databases on which a user has rights."""
        answer = self._call("list_access", {"username": username, "hostname": hostname})
        if not isinstance(answer, list) or not all(isinstance(name, str) for name in answer):
            raise _malformed("list_access")
        return tuple(str(name) for name in answer)

    def grant_access(self, username: str, hostname: str, databases: Sequence[str]) -> None:
        """Grant a user all rights on databases."""
        self._call("grant_access", {"username": username, "hostname": hostname, "databases": list(databases)})

    def revoke_access(self, username: str, hostname: str, database: str) -> None:
        """Revoke a user's rights on a database."""
        self._call("revoke_access", {"username": username, "hostname": hostname, "database": database})

    def enable_root(self, root_password: str) -> None:
        """Let the superuser log in with this password."""
        self._call("enable_root", {"root_password": root_password})

    def disable_root(self) -> None:
        """Take the superuser's log-in away."""
        self._call("disable_root", {})

    def is_root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""
        answer = self._call("is_root_enabled", {})
        if not isinstance(answer, bool):
            raise _malformed("is_root_enabled")
        return answer

    def module_list(self, *, include_contents: bool = False) -> tuple[ModuleResult, ...]:
        """Return what became of the modules that the guest has, with their contents only if asked."""
        return _modules(self._call("module_list", {"include_contents": include_contents}), "module_list")

    def module_apply(self, modules: Sequence[Mapping[str, JSON]]) -> tuple[ModuleResult, ...]:
        """Apply modules (id, name, type, md5, contents in base64) in this order; one that fails keeps no other back."""
        return _modules(self._call("module_apply", {"modules": list(modules)}), "module_apply")

    def module_remove(self, module_id: str) -> None:
        """Take a module away; one that is not there is fine."""
        self._call("module_remove", {"module_id": module_id})

    def guest_log_list(self) -> tuple[LogReport, ...]:
        """Return what there is to tell of each log of the guest."""
        answer = self._call("guest_log_list", {})
        if not isinstance(answer, list):
            raise _malformed("guest_log_list")
        return tuple(_read(each, LogReport.from_json, "guest_log_list") for each in answer)

    def guest_log_action(
        self,
        log_name: str,
        *,
        enable: bool = False,
        disable: bool = False,
        discard: bool = False,
        publish: Mapping[str, JSON] | None = None,
    ) -> LogReport:
        """Switch, forget or publish a log, and return what there is to tell of it then. `publish` holds a ticket: a secret."""
        args: dict[str, JSON] = {"log_name": log_name, "enable": enable, "disable": disable, "discard": discard}
        answer = self._call("guest_log_action", {**args, "publish": publish})
        return _read(answer, LogReport.from_json, "guest_log_action")

    def ssl_action(self, tls: Tls | None) -> bool:
        """Have the server serve with this, or as it does by itself; return whether that waits for a restart. May run twice."""
        answer = self._call("ssl_action", {"tls": None if tls is None else tls.to_json()})
        return _read(answer, _restart_required, "ssl_action")

    def start_job(self, name: str, kind: str, args: Mapping[str, JSON]) -> None:
        """Cast the start of a named job. May run twice: the guest knows the name."""
        self._cast("start_job", {"name": name, "kind": kind, "args": args})

    def cancel_job(self, name: str) -> bool:
        """Have a job stop, or never begin; return whether it has ended. One that ended before stays as it ended."""
        answer = self._call("cancel_job", {"name": name})
        if not isinstance(answer, bool):
            raise _malformed("cancel_job")
        return answer

    def forget_jobs(self, names: Sequence[str]) -> None:
        """Cast that the ends of these jobs are known, so that the guest stops to repeat them."""
        self._cast("forget_jobs", {"names": list(names)})

    def _call(self, method: str, args: Mapping[str, JSON]) -> JSON:
        return self._bus.call(self._topic, method, args, timeout_s=self._timeout_s, request_id=self._request_id)

    def _cast(self, method: str, args: Mapping[str, JSON]) -> None:
        self._bus.cast(self._topic, method, args, request_id=self._request_id)


def _malformed(method: str) -> GuestError:
    return GuestError(f"The guest agent answered {method} in a form that is not understood.")


def _object(answer: JSON, method: str) -> Mapping[str, JSON]:
    if not isinstance(answer, Mapping):
        raise _malformed(method)
    return answer


def _read(answer: JSON, reader: Callable[[Mapping[str, object]], T], method: str) -> T:
    data = _object(answer, method)
    try:
        return reader(data)
    except (KeyError, ValueError, AssertionError) as error:
        raise _malformed(method) from error


def _restart_required(answer: Mapping[str, object]) -> bool:
    pending = answer["restart_required"]
    if not isinstance(pending, bool):
        raise ValueError("restart_required is no boolean")
    return pending


def _modules(answer: JSON, method: str) -> tuple[ModuleResult, ...]:
    if not isinstance(answer, list):
        raise _malformed(method)
    return tuple(_read(each, ModuleResult.from_json, method) for each in answer)


def _page(answer: JSON, reader: Callable[[Mapping[str, object]], T], method: str) -> Page[T]:
    data = _object(answer, method)
    items, marker = data.get("items"), data.get("next_marker")
    if not isinstance(items, list) or not (marker is None or isinstance(marker, str)):
        raise _malformed(method)
    return Page(items=tuple(_read(item, reader, method) for item in items), next_marker=marker)
