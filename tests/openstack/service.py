"""A whole deployment on a cloud, as an operator configures it: accounts, API, conductor and two task managers as processes."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openstack
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from tests.openstack.accounts import Account, accounts
from tests.openstack.lab import stopped
from tests.openstack.requests_made import LOG_LEVELS, SERVICES, Asked, asked
from tests.support.clouds import REPOSITORY
from tests.support.mariadb_server import MariaDbServer, mariadb_server
from tests.support.ports import free_port
from tests.support.private_process import private_directory
from tests.support.services import listens, process
from tests.support.stack import BIN, Stack, await_value

from trove.bus.management import ManagementApi
from trove.cmd.local.configure import ini_text
from trove.cmd.local.layout import write_private

BUS = "TROVE_TEST_BUS"
"""Transport URL of a RabbitMQ that guests reach, too."""
BUS_MANAGEMENT = "TROVE_TEST_BUS_MANAGEMENT"
"""URL of its management API, with user and password; guests share one user of the bus without it."""
SWIFT_ENDPOINT = "TROVE_TEST_SWIFT_ENDPOINT"
"""Which of Swift's endpoints guests reach, such as internalURL."""
NETWORK = "TROVE_TEST_NETWORK"
"""Network of the instances."""

TASK_MANAGERS = ("taskmanager-1", "taskmanager-2")
PROGRAMS = {"conductor": "conductor", **dict.fromkeys(TASK_MANAGERS, "taskmanager"), "api": "api"}
READY_S = 120.0
GONE_S = 300.0


@dataclass(kw_only=True)
class Deployment(Stack):
    """A running deployment. Whoever is named, it is the tenant who asks."""

    admin: Any
    owner: Any
    """A connection of the service's own user, in whose project everything is."""
    tenant: Account
    session: Session
    places: Mapping[str, str]
    _running: dict[str, ExitStack] = field(default_factory=dict, repr=False)
    _pids: dict[str, int] = field(default_factory=dict, repr=False)

    def proof(self, user: str) -> dict[str, str]:
        """Return the header with the tenant's token."""
        return {"X-Auth-Token": str(self.session.get_token())}

    def project(self, user: str = "admin") -> str:
        """Return the id of the tenant's project."""
        return self.tenant.project_id

    @property
    def conf(self) -> Path:
        """Return where trove.conf is."""
        return self.root / "trove.conf"

    def manage(self, *words: str) -> str:
        """Run trove-manage; return what it prints."""
        argv = [str(BIN / "trove-manage"), f"--config-file={self.conf}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *names: str) -> None:
        """Start services, and wait until they are ready."""
        since = {}
        for name in names:
            log = self.root / f"{name}.log"
            since[name] = log.stat().st_size if log.exists() else 0
            running = self._running[name] = ExitStack()
            words = [sys.executable, "-m", f"trove.cmd.{PROGRAMS[name]}", f"--config-file={self.conf}"]
            child = running.enter_context(process(["setpriv", "--pdeathsig=KILL", *words], log))
            self._pids[name] = child.pid
        for name, size in since.items():
            await_value(
                lambda name=name, size=size: self._is_ready(name, size), READY_S, f"{name} is not ready\n{self.tails()}"
            )

    def kill(self, *names: str) -> None:
        """Kill services with -9."""
        for name in names:
            os.kill(self._pids.pop(name), signal.SIGKILL)
            self._running.pop(name).close()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let the task managers stand still while the block lasts, with all that they have in hand."""
        pids = [self._pids[name] for name in TASK_MANAGERS]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End everything."""
        for running in self._running.values():
            running.close()
        self._running.clear()

    @contextmanager
    def asked(self) -> Iterator[Asked]:
        """Count what the cloud is asked while the block lasts."""
        with asked(self.root, self.places) as found:
            yield found

    def heard(self, words: str) -> int:
        """Return how often the task managers have said so."""
        return sum((self.root / f"{name}.log").read_text(errors="replace").count(words) for name in TASK_MANAGERS)

    def status_of(self, instance_id: str) -> str:
        """Return the status of an instance that is there."""
        shown = self.show(instance_id)
        assert shown is not None, f"{instance_id} is gone"
        return str(shown["status"])

    def server(self, instance_id: str) -> Any | None:
        """Return Nova's record of an instance's server."""
        found = list(self.owner.compute.servers(details=True, tags=f"trove_instance_id_{instance_id}"))
        assert len(found) <= 1, f"{instance_id} has {len(found)} servers"
        return found[0] if found else None

    def await_server(self, instance_id: str, *, timeout_s: float = GONE_S) -> Any:
        """Wait until Nova runs the instance's server; fail when the instance does."""

        def runs() -> Any | None:
            shown = self.show(instance_id)
            assert shown is not None, f"{instance_id} is gone"
            assert shown["status"] == "BUILD", f"{shown}\n{self.tails()}"
            found = self.server(instance_id)
            assert found is None or found.status != "ERROR", f"{found.fault}"
            return found if found is not None and found.status == "ACTIVE" else None

        return until(runs, f"{instance_id} has a server", timeout_s)

    def leftovers(self, word: str = "") -> list[str]:
        """Return what the service has in Nova, Cinder and Neutron, and the tenant in Swift, that names `word`."""
        mine = {"project_id": self.owner.current_project_id}
        found = [f"server {each.name} {each.metadata}" for each in self.owner.compute.servers(details=True)]
        found += [f"server group {each.name}" for each in self.owner.compute.server_groups()]
        found += [f"volume {each.name}" for each in self.owner.block_storage.volumes(details=True)]
        found += [f"snapshot {each.name}" for each in self.owner.block_storage.snapshots(details=True)]
        found += [f"port {each.name}" for each in self.owner.network.ports(**mine)]
        groups = self.owner.network.security_groups(**mine)
        found += [f"security group {each.name}" for each in groups if each.name != "default"]
        return [each for each in found if word in each]

    def objects(self) -> list[str]:
        """Return the objects in the tenant's account of Swift."""
        account = openstack.connection.Connection(session=self.session, region_name=self.admin.config.region_name)
        containers = [each.name for each in account.object_store.containers()]
        return [f"{name}/{each.name}" for name in containers for each in account.object_store.objects(name)]

    def reboot(self, instance_id: str) -> None:
        """Have an administrator reboot an instance's server."""
        url = f"http://127.0.0.1:{self.port}/v1.0/{self.admin.current_project_id}/mgmt/instances/{instance_id}/action"
        reply = self.admin.session.post(url, json={"reboot": {}}, raise_exc=False)
        assert reply.status_code == 202, reply.text

    def await_healthy(self, instance_id: str, *, timeout_s: float = GONE_S, user: str = "admin") -> dict[str, Any]:
        """Wait until the instance is ACTIVE and HEALTHY; fail at once when it is in ERROR."""

        def healthy() -> dict[str, Any] | None:
            shown = self.show(instance_id)
            assert shown is not None, f"{instance_id} is gone"
            assert shown["status"] not in {"ERROR", "FAILED"}, f"{shown}\n{self.console(instance_id)}\n{self.tails()}"
            return shown if (shown["status"], shown.get("operating_status")) == ("ACTIVE", "HEALTHY") else None

        try:
            found: dict[str, Any] = until(healthy, f"{instance_id} is healthy", timeout_s)
        except AssertionError:
            print(self.console(instance_id))
            raise
        return found

    def console(self, instance_id: str) -> str:
        """Return the end of what an instance's server wrote on its console, as far as there is one."""
        server = self.server(instance_id)
        if server is None:
            return "there is no server"
        return str(self.owner.compute.get_server_console_output(server, length=60).get("output"))

    def discard(self) -> None:
        """Have all instances deleted; wait until nothing is left of them."""
        instances = [each["id"] for each in self.request("GET", "/instances").body["instances"]]
        for each in instances:
            self.delete(each)
        for each in instances:
            self.await_gone(each, timeout_s=GONE_S)

    def forget_images(self) -> None:
        """Delete the images that were uploaded for the service."""
        for image in self.owner.image.images(owner=self.owner.current_project_id):
            self.owner.image.delete_image(image)

    def _is_ready(self, name: str, since: int) -> bool:
        with (self.root / f"{name}.log").open("rb") as log:
            log.seek(since)
            ready = b"is ready" in log.read()
        return ready and (name != "api" or listens(self.port))


@contextmanager
def deployment(admin: Any, *, options: Mapping[str, Mapping[str, object]] | None = None) -> Iterator[Deployment]:
    """Bring a deployment up on the cloud of `admin`; take all of it away afterwards. `options` win over those of trove.conf."""
    auth_url, region = admin.config.auth["auth_url"], admin.config.region_name
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        root = stack.enter_context(private_directory("trove-openstack-"))
        database = stack.enter_context(mariadb_server())
        database.recreate("trove")
        both = stack.enter_context(accounts(admin, trove_url=url))
        bus = stack.enter_context(_own_bus())
        sections = _sections(root, both.service, database, bus, port=port, auth_url=auth_url, region=region)
        for section, values in (options or {}).items():
            sections.setdefault(section, {}).update(values)
        write_private(root / "trove.conf", ini_text(sections))
        made = Deployment(
            root=root,
            port=port,
            admin=admin,
            owner=openstack.connection.Connection(auth=both.service.auth(auth_url), region_name=region),
            tenant=both.tenant,
            session=Session(auth=v3.Password(**both.tenant.auth(auth_url)), timeout=60),
            places={each: _place(getattr(admin, each)) for each in SERVICES},
        )
        stack.callback(made.forget_images)
        made.manage("db", "upgrade")
        stack.callback(made.close)
        made.start(*PROGRAMS)
        yield made


@contextmanager
def _own_bus() -> Iterator[dict[str, str]]:
    """Give a virtual host of the deployment's own, where that can be made: two deployments would share queues."""
    url = os.environ[BUS]
    if BUS_MANAGEMENT not in os.environ:
        yield {"transport_url": url}
        return
    api, name = ManagementApi(os.environ[BUS_MANAGEMENT]), f"trove-{secrets.token_hex(4)}"
    api.put(f"/api/vhosts/{name}", {})
    try:
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        api.put(f"/api/permissions/{name}/{urlsplit(url).username}", dict(rights))
        yield {"transport_url": f"{url.rpartition('/')[0]}/{name}", "management_url": os.environ[BUS_MANAGEMENT]}
    finally:
        api.delete(f"/api/vhosts/{name}")


def _sections(
    folder: Path, service: Account, database: MariaDbServer, bus: Mapping[str, str], *, port: int, auth_url: str, region: str
) -> dict[str, dict[str, object]]:
    login: dict[str, object] = {**service.auth(auth_url), "region_name": region}
    return {
        "DEFAULT": {
            "bind_host": "127.0.0.1",
            "bind_port": port,
            "trove_api_workers": 1,
            "api_paste_config": REPOSITORY / "etc/trove/api-paste.ini",
            "transport_url": bus["transport_url"],
            "cloud": "openstack",
            "region": region,
            "default_datastore": "mariadb",
            "use_stderr": "true",
            "default_log_levels": LOG_LEVELS,
            **{f"http_{method}_rate": 0 for method in ("get", "post", "put", "patch", "delete", "mgmt_post")},
            "use_nova_server_config_drive": "true",
            "online_volume_resize": "false",
            "swift_endpoint_type": os.environ.get(SWIFT_ENDPOINT, "publicURL"),
            "max_accepted_volume_size": 20,
            "agent_heartbeat_expiry": 60,
            "report_interval": 5,
            "reboot_time_out": 600,
        },
        "database": {"connection": database.url("trove")},
        "taskmanager": {"lock_url": database.lock_url("trove"), "lease": 6, "sweep_interval": 2},
        "secrets": {"key_file": folder / "secret.key", "create_key_file": "true"},
        "bus": {name: value for name, value in bus.items() if name != "transport_url"},
        "keystone_authtoken": {"auth_type": "password", "www_authenticate_uri": auth_url, "interface": "public", **login},
        "service_credentials": login,
        "network": {"default_network": os.environ[NETWORK]},
        "objectstore": {"driver": "swift"},
    }


@contextmanager
def away(deployment: Deployment, name: str, *, words: str = "it fails for now") -> Iterator[None]:
    """Stop a service of the lab; after the block wait until task managers have said `words`, and start it again."""
    before = deployment.heard(words)
    with ExitStack() as stack:
        with stopped(name):
            yield
            until(lambda: deployment.heard(words) > before, f"{name} is waited for", GONE_S)
            # Neutron answers nothing but errors for ever when several ask it at once before it has answered one.
            stack.enter_context(deployment.quiet())
        until(lambda: list(deployment.admin.network.networks()), "the cloud answers")
        list(deployment.admin.network.ports())


def _place(proxy: Any) -> str:
    """Return where a service of the cloud is, without version and project."""
    url = str(proxy.get_endpoint()).rstrip("/")
    parts = [part for part in url.split("/")[3:] if not part.startswith("v") or not part[1:2].isdigit()]
    kept = [part for part in parts if len(part) < 32]
    return "/".join([*url.split("/")[:3], *kept])


def until(condition: Any, what: str, timeout_s: float = 120.0) -> Any:
    """Ask until the answer is true, not too often; return it."""
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(OSError):
            if value := condition():
                return value
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.5)
