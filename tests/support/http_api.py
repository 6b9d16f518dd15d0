"""The real API behind its real Paste pipeline, over a SQLite store, a memory cloud and a memory bus with scripted guests."""

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bcrypt
from falcon import testing
from oslo_config import cfg
from tests.support import answers
from tests.support.engines import EVERYTHING
from tests.support.state_files import make_state_file, open_state_file
from tests.support.world import applied_module, until

from trove.api.app import load
from trove.api.settings import ApiSettings
from trove.bus.contract import GuestCredential, Message, guest_topic
from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.cmd import http_server
from trove.cmd.notify import Notifier
from trove.config import opts
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.core.instances import Address, Heartbeat, Instance, NewInstance
from trove.core.logs import AGENT_LOG, LogReport, LogStatus, LogType
from trove.core.status import ServiceStatus
from trove.core.transitions import Event
from trove.datastores import registry
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors, Limits, Settings
from trove.store import datastores, guests, instances
from trove.store.session import Database
from trove.store.vault import Vault

PASTE_FILE = Path(__file__).parents[2] / "etc" / "trove" / "api-paste.ini"
PROJECT = "p1"
OTHER_PROJECT = "p2"
PASSWORD = "s3cret pässword"

USERS = {
    "member": {"project": PROJECT, "roles": ["member", "reader"]},
    "reader": {"project": PROJECT, "roles": ["reader"]},
    "admin": {"project": PROJECT, "roles": ["admin"]},
    "nobody": {"project": PROJECT, "roles": []},
    "stranger": {"project": OTHER_PROJECT, "roles": ["member"]},
}
HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()


class Announcer:
    """Remembers what was announced."""

    def __init__(self) -> None:
        self.announced: list[str] = []

    def announce(self, operation_id: str) -> None:
        self.announced.append(operation_id)


class Admission:
    """Lets everybody in."""

    def admit(self, instance_id: str) -> GuestCredential:
        return GuestCredential(url=f"memory://{instance_id}")

    def expel(self, instance_id: str) -> None:
        pass


LOGS = {**registry.spec("mariadb").logs, AGENT_LOG: LogType.SYS}


def _silent_log(name: str, kind: LogType) -> LogReport:
    status = LogStatus.DISABLED if kind is LogType.USER else LogStatus.READY
    return LogReport(name=name, type=kind, status=status, published=0, pending=0)


class ScriptedGuest:
    """A guest agent with databases and users in memory, which answers as the real one is agreed to. `calls` lists methods."""

    def __init__(self, bus: MemoryBus, instance_id: str) -> None:
        self.databases: dict[str, dict[str, Any]] = {}
        self.users: dict[tuple[str, str], dict[str, Any]] = {}
        self.root: str | None = None
        self.modules: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, LogReport] = {name: _silent_log(name, kind) for name, kind in LOGS.items()}
        self.published: list[Mapping[str, Any]] = []
        self.tls: Any = None
        self.restart_required = False
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self._lock = threading.Lock()
        self._bus = bus.as_principal(instance_id)
        self._subscription = self._bus.serve(guest_topic(instance_id), self._handle, workers=1)

    def stop(self) -> None:
        self._subscription.stop()
        self._bus.close()

    def _handle(self, message: Message) -> Any:
        with self._lock:
            self.calls.append(message.method)
            if self.fault:
                raise self.fault
            return getattr(self, f"_{message.method}")(**message.args)

    def _rpc_ping(self) -> bool:
        return True

    def _get_diagnostics(self) -> Any:
        sizes = {"vmSize": 900, "vmPeak": 1000, "vmRss": 300, "vmHwm": 400}
        return {"version": "10.11.6", "threads": 9, "fdSize": 64, **sizes}

    def _get_hwinfo(self) -> Any:
        return {"mem_total": 524288, "num_cpus": 2}

    def _create_database(self, databases: Sequence[Mapping[str, Any]]) -> None:
        for each in databases:
            if each["name"] in self.databases:
                raise InvalidInput(f"Database '{each['name']}' exists already.")
        for each in databases:
            self.databases[each["name"]] = dict(each)

    def _list_databases(self, limit: int, marker: str | None = None) -> Any:
        return self._page(sorted(self.databases), limit, marker, lambda name: self.databases[name])

    def _delete_database(self, name: str) -> None:
        if name not in self.databases:
            raise NotFound(f"Database '{name}' was not found.")
        del self.databases[name]

    def _create_user(self, users: Sequence[Mapping[str, Any]]) -> None:
        for each in users:
            if (each["name"], each["host"]) in self.users:
                raise InvalidInput(f"User '{each['name']}'@'{each['host']}' exists already.")
            self._need(each["databases"])
        for each in users:
            self.users[each["name"], each["host"]] = dict(each)

    def _list_users(self, limit: int, marker: str | None = None) -> Any:
        by_key = {f"{name}@{host}": {**user, "password": None} for (name, host), user in self.users.items()}
        return self._page(sorted(by_key), limit, marker, lambda key: by_key[key])

    def _get_user(self, username: str, hostname: str) -> Any:
        return {**self._user(username, hostname), "password": None}

    def _update_attributes(self, username: str, hostname: str, user_attrs: Mapping[str, Any]) -> None:
        user = self._user(username, hostname)
        new = (user_attrs.get("name") or username, user_attrs.get("host") or hostname)
        if new != (username, hostname) and new in self.users:
            raise InvalidInput(f"User '{new[0]}'@'{new[1]}' exists already.")
        del self.users[username, hostname]
        self.users[new] = {**user, "name": new[0], "host": new[1], "password": user_attrs.get("password") or user["password"]}

    def _change_passwords(self, users: Sequence[Mapping[str, Any]]) -> None:
        for each in users:
            self._user(each["name"], each["host"])["password"] = each["password"]

    def _delete_user(self, username: str, hostname: str) -> None:
        self._user(username, hostname)
        del self.users[username, hostname]

    def _list_access(self, username: str, hostname: str) -> Any:
        return list(self._user(username, hostname)["databases"])

    def _grant_access(self, username: str, hostname: str, databases: Sequence[str]) -> None:
        self._need(databases)
        user = self._user(username, hostname)
        user["databases"] = sorted({*user["databases"], *databases})

    def _revoke_access(self, username: str, hostname: str, database: str) -> None:
        user = self._user(username, hostname)
        if database not in user["databases"]:
            raise NotFound(f"User '{username}' has no rights on '{database}'.")
        user["databases"] = [name for name in user["databases"] if name != database]

    def _enable_root(self, root_password: str) -> None:
        self.root = root_password

    def _disable_root(self) -> None:
        self.root = None

    def _is_root_enabled(self) -> bool:
        return self.root is not None

    def _module_apply(self, modules: Sequence[Mapping[str, Any]]) -> Any:
        results = [applied_module(each, "It is broken." if "broken" in each["name"] else None) for each in modules]
        for told, sent in zip(results, modules, strict=True):
            self.modules[told["id"]] = {**told, "contents": sent["contents"]}
        return results

    def _module_list(self, include_contents: bool = False) -> Any:
        return [each if include_contents else {**each, "contents": None} for each in self.modules.values()]

    def _module_remove(self, module_id: str) -> None:
        self.modules.pop(module_id, None)

    def _ssl_action(self, tls: Any) -> Any:
        self.tls = tls
        return {"restart_required": self.restart_required}

    def _guest_log_list(self) -> Any:
        return [report.to_json() for report in self.logs.values()]

    def _guest_log_action(self, log_name: str, enable: bool, disable: bool, discard: bool, publish: Any) -> Any:
        report = self.logs[log_name]
        if discard:
            report = replace(report, published=0, pending=report.published + report.pending)
        if publish is not None:
            self.published.append(publish)
            report = replace(report, status=LogStatus.PUBLISHED, published=report.published + report.pending + 10, pending=0)
        elif enable or disable:
            report = replace(report, status=LogStatus.ENABLED if enable else LogStatus.DISABLED)
        self.logs[log_name] = report
        return report.to_json()

    def _user(self, name: str, host: str) -> dict[str, Any]:
        if (name, host) not in self.users:
            raise NotFound(f"User '{name}'@'{host}' was not found.")
        return self.users[name, host]

    def _need(self, databases: Sequence[str]) -> None:
        for name in databases:
            if name not in self.databases:
                raise NotFound(f"Database '{name}' was not found.")

    @staticmethod
    def _page(keys: list[str], limit: int, marker: str | None, read: Any) -> Any:
        after = [key for key in keys if marker is None or key > marker]
        shown = after[:limit]
        return {"items": [read(key) for key in shown], "next_marker": shown[-1] if len(after) > limit else None}


@dataclass(kw_only=True)
class Api:
    """The service as a client sees it, and what is behind it. Paths are below `/v1.0/{project}`."""

    doors: Doors
    settings: ApiSettings
    app: Any
    announcer: Announcer
    version_id: str
    guests: dict[str, ScriptedGuest] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, *, user: str | None = "member", raw: bytes | None = None, **options: Any
    ) -> testing.Result:
        """Send a request; its answer is held against the route's schema.

        `body` is sent as JSON; `raw` as it is; `user` None sends no credentials.
        """
        headers = {"Authorization": basic(user)} if user else {}
        headers |= options.pop("headers", {})
        if body is not None or raw is not None:
            headers = {"Content-Type": "application/json"} | headers
        project = options.pop("project", USERS[user]["project"] if user in USERS else PROJECT)
        full = path if options.pop("absolute", False) else f"/v1.0/{project}{path}"
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {name: value for name, value in headers.items() if value is not None}
        result = testing.simulate_request(self.app, method=method, path=full, body=content, headers=headers, **options)
        answers.check(method, full.partition("?")[0], result)
        return result

    def get(self, path: str, **options: Any) -> testing.Result:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> testing.Result:
        return self.ask("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> testing.Result:
        return self.ask("PUT", path, body, **options)

    def delete(self, path: str, **options: Any) -> testing.Result:
        return self.ask("DELETE", path, **options)

    def offer_everything(self) -> tuple[str, str]:
        """Offer the datastore `everything`, which has every facet, in two versions; return their ids, the default first."""
        with self.doors.database.transaction() as tx:
            datastores.put_datastore(tx, EVERYTHING)
            versions = [datastores.put_version(tx, EVERYTHING, name, manager=EVERYTHING).id for name in ("1.0", "2.0")]
            datastores.put_datastore(tx, EVERYTHING, versions[0])
        return versions[0], versions[1]

    def insert(self, name: str = "orders", *, project_id: str = PROJECT, version_id: str | None = None) -> str:
        """Store an instance that is being built and return its id; its version is MariaDB's unless one is given."""
        new = NewInstance(
            id=new_id(),
            name=name,
            project_id=project_id,
            flavor_id="2",
            ram_mib=512,
            datastore_version_id=version_id or self.version_id,
            key=b"k" * 32,
            volume_size_gib=2,
        )
        return self.doors.database.run(instances.insert, new).id

    def active(
        self, name: str = "orders", *, project_id: str = PROJECT, guest: bool = True, version_id: str | None = None
    ) -> str:
        """Store an instance that serves, with a guest that answers, and return its id."""
        instance_id = self.insert(name, project_id=project_id, version_id=version_id)
        with self.doors.database.transaction() as tx:
            addresses = (Address(address="127.77.0.5"),)
            instances.record_server(tx, instance_id, fence=None, server_id="srv", addresses=addresses, port=3306)
            instances.apply(tx, instance_id, Event.BUILT)
        self.beat(instance_id, ServiceStatus.HEALTHY)
        if guest:
            self.active_guest(instance_id)
        return instance_id

    def active_guest(self, instance_id: str) -> ScriptedGuest:
        """Let an instance have a guest that answers."""
        assert isinstance(self.doors.bus, MemoryBus)
        self.guests[instance_id] = ScriptedGuest(self.doors.bus, instance_id)
        return self.guests[instance_id]

    def beat(self, instance_id: str, status: ServiceStatus, **more: Any) -> None:
        """Store a heartbeat."""
        heartbeat = Heartbeat(instance_id=instance_id, sent=utcnow(), status=status, **more)
        self.doors.database.run(guests.apply_heartbeats, [heartbeat])

    def row(self, instance_id: str) -> Instance:
        """Return the stored instance."""
        with self.doors.database.reading() as tx:
            return instances.get(tx, instance_id)


def basic(user: str, password: str = PASSWORD) -> str:
    """Return an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def oslo_conf(*files: Path) -> Any:
    """Return an oslo.config object that reads these files only."""
    conf = cfg.ConfigOpts()
    conf([], project="trove", default_config_files=[str(path) for path in files], default_config_dirs=[])
    return conf


def write_accounts(directory: Path, users: Mapping[str, Any] = USERS) -> tuple[Path, Path]:
    """Write the two files of HTTP basic authentication; everybody has the same password."""
    user_file, roles_file = directory / "htpasswd", directory / "roles.json"
    user_file.write_text("".join(f"{name}:{HASHED}\n" for name in users))
    roles_file.write_text(json.dumps(users))
    return user_file, roles_file


@contextmanager
def serving_api(
    directory: Path,
    *,
    operations: Settings | None = None,
    around: Callable[[Doors], Doors] = lambda doors: doors,
    **settings: Any,
) -> Iterator[Api]:
    """Run the API on fresh doors in `directory`, changed by `around`; everything is closed afterwards."""
    user_file, roles_file = write_accounts(directory)
    with ExitStack() as stack:
        make_state_file(directory / "trove.sqlite")
        database = open_state_file(directory / "trove.sqlite", vault=Vault([Vault.new_key()]), kind=Database)
        stack.callback(database.close)
        with database.transaction() as tx:
            datastores.put_datastore(tx, "mariadb")
            version = datastores.put_version(tx, "mariadb", "10.11", manager="mariadb", version="10.11.6")
            datastores.put_datastore(tx, "mariadb", default_version=version.id)
        bus, announcer = MemoryBus(), Announcer()
        stack.callback(bus.close)
        doors = Doors(
            database=database,
            cloud=MemoryCloud(),
            bus=bus,
            admission=Admission(),
            objects=MemoryObjectStore(),
            announcer=announcer,
            settings=operations
            or Settings(default_datastore="mariadb", guest_call_timeout_s=5.0, limits=Limits(max_volumes_gib=1000)),
        )
        conf = settings.pop("conf", None) or oslo_conf()
        api_settings = replace(
            ApiSettings(conf=conf, auth="basic", basic_user_file=user_file, basic_roles_file=roles_file), **settings
        )
        api = Api(
            doors=doors,
            settings=api_settings,
            app=load(around(doors), api_settings, PASTE_FILE),
            announcer=announcer,
            version_id=version.id,
        )
        stack.callback(lambda: [guest.stop() for guest in api.guests.values()])
        yield api


class Stopping:
    """What the server watches in place of the signals of a process: a pipe, which becomes readable when it must stop."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._stopped = False
        self.notifier = Notifier()

    def fileno(self) -> int:
        return self._reader

    def wait(self, _seconds: float | None = None) -> bool:
        return self._stopped

    def take_hang_up(self) -> bool:
        return False

    def stop(self) -> None:
        self._stopped = True
        os.write(self._writer, b"x")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def listening(app: Any, **options: Any) -> Iterator[int]:
    """Serve a WSGI application as trove-api does, with these options of trove.conf; yield the port. It has ended afterwards."""
    conf = cfg.ConfigOpts()
    opts.register(conf)
    conf([], project="trove", default_config_files=[], default_config_dirs=[])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    for name, value in {"bind_host": "127.0.0.1", "bind_port": port, **options}.items():
        conf.set_override(name, value)
    stopping, ready = Stopping(), threading.Event()
    server = threading.Thread(target=http_server.serve, args=(conf, app, stopping, ready.set))
    server.start()
    try:
        assert ready.wait(30), "the server did not come up"
        until(lambda: _accepts(port), what="the port")
        yield port
    finally:
        stopping.stop()
        server.join(30)
        stopping.close()
        assert not server.is_alive(), "the server did not end"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
