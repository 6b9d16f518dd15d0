"""What the tests of clients share: a stack behind a real Keystone, every client as several users, and what is true."""

import http.client
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keystoneauth1.identity
import keystoneauth1.session
import pymysql
import pytest
from tests.support import keystone as keystones
from tests.support.clients_recorder import Exchange, Recorder, recording
from tests.support.keystone import Keystone
from tests.support.ports import free_port
from tests.support.stack import BIN, BUILD_S, Stack, stack

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Of the client's own imports.
    import openstack.connection
    import troveclient.v1.client

CONFIG = """
[DEFAULT]
http_get_rate = 100000
http_post_rate = 100000
http_put_rate = 100000
http_delete_rate = 100000
max_instances_per_tenant = 50
max_volumes_per_tenant = 500
"""
PROJECTS = {"demo": "demo", "demo_reader": "demo", "alt_demo": "alt_demo", "admin": "admin"}
PASSWORDS = {"admin": keystones.ADMIN_PASSWORD}
PEER = Path(__file__).with_name("clients_shell_peer.py")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command did."""

    status: int
    stdout: str
    stderr: str

    @property
    def value(self) -> Any:
        """Return what it printed as JSON."""
        return json.loads(self.stdout)

    @property
    def said(self) -> str:
        """Return all it printed."""
        return self.stdout + self.stderr


@dataclass(kw_only=True)
class Clients:
    """The clients of one running service. Users are those of `PROJECTS`, each with one project."""

    stack: Stack
    keystone: Keystone
    recorder: Recorder
    port: int
    home: Path
    peer: "subprocess.Popen[str]"
    _sessions: dict[str, keystoneauth1.session.Session] = field(default_factory=dict, repr=False)

    def environment(self, user: str) -> dict[str, str]:
        """Return Keystone's usual variables for a user, and nothing else."""
        return {
            "OS_AUTH_URL": self.keystone.url,
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORDS.get(user, keystones.DEMO_PASSWORD),
            "OS_PROJECT_NAME": PROJECTS[user],
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": "RegionOne",
            "HOME": str(self.home),
        }

    def session(self, user: str) -> keystoneauth1.session.Session:
        """Return a session that keeps one token of a user."""
        if user not in self._sessions:
            environ = self.environment(user)
            auth = keystoneauth1.identity.v3.Password(
                auth_url=environ["OS_AUTH_URL"],
                username=user,
                password=environ["OS_PASSWORD"],
                project_name=environ["OS_PROJECT_NAME"],
                user_domain_id="default",
                project_domain_id="default",
            )
            self._sessions[user] = keystoneauth1.session.Session(auth=auth)
        return self._sessions[user]

    def project(self, user: str = "demo") -> str:
        """Return the project id of a user."""
        return str(self.session(user).get_project_id())

    # Commands

    def openstack(self, command: str, *words: str, user: str = "demo", status: int = 0) -> Done:
        """Run `openstack <command> <words>`; what it sends counts for the command."""
        with self.recorder.act("openstack", command):
            return self._run("openstack", [*command.split(), *words], user, status)

    def shown(self, command: str, *words: str, user: str = "demo") -> Any:
        """Run `openstack <command> <words> -f json`; return what it printed."""
        return self.openstack(command, *words, "-f", "json", user=user).value

    def trove(self, command: str, *words: str, user: str = "demo", status: int = 0) -> Done:
        """Run `trove <command> <words>`; what it sends counts for the command."""
        with self.recorder.act("trove", command):
            return self._run("trove", [command, *words], user, status)

    def told(self, command: str, *words: str, user: str = "demo") -> Any:
        """Run `trove --json <command> <words>`; return the decoded answer of the service, which it prints."""
        with self.recorder.act("trove", command):
            return self._run("trove", ["--json", command, *words], user, 0).value

    def _run(self, program: str, words: list[str], user: str, status: int) -> Done:
        assert self.peer.stdin is not None
        assert self.peer.stdout is not None
        wanted = {"program": program, "words": words, "environ": self.environment(user), "cwd": str(self.home)}
        self.peer.stdin.write(json.dumps(wanted) + "\n")
        self.peer.stdin.flush()
        done = Done(**json.loads(self.peer.stdout.readline()))
        assert done.status == status, f"{program} {' '.join(words)}: {done.status}\n{done.said}\n{self.story()}"
        return done

    def executable(self, program: str, *words: str, user: str = "demo") -> "subprocess.CompletedProcess[str]":
        """Run the program itself, as a user does."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | self.environment(user)
        return subprocess.run([BIN / program, *words], env=environ, capture_output=True, text=True, check=False, cwd=self.home)

    # Libraries

    def library(self, user: str) -> Any:
        """Return python-troveclient's library for a user, which finds the service in the catalogue."""
        return troveclient.v1.client.Client(session=self.session(user))

    def sdk(self, user: str) -> Any:
        """Return the database proxy of openstacksdk for a user."""
        return openstack.connection.Connection(session=self.session(user), region_name="RegionOne").database

    def called(self, client: str, name: str, function: Callable[..., Any], /, *words: Any, **more: Any) -> Any:
        """Call a function of a client's library; what it sends counts for `name`. A generator is read to its end."""
        with self.recorder.act(client, name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Those of the client itself.
            result = function(*words, **more)
            return list(result) if isinstance(result, Iterator) else result

    def refused(self, client: str, name: str, function: Callable[..., Any], /, *words: Any, **more: Any) -> Exchange:
        """Call a function that must fail; return the exchange in which it did."""
        with pytest.raises(Exception):  # noqa: B017, PT011  every client has its own
            self.called(client, name, function, *words, **more)
        return self.recorder.exchanges[-1]

    # What is not recorded: preparation, and the truth

    def ask(self, method: str, path: str, body: Any = None, *, user: str = "demo") -> tuple[int, Any]:
        """Send one raw request to `/v1.0/{project}{path}`, for which nobody acts; return status and decoded body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json", **self.session(user).get_auth_headers()}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/v1.0/{self.project(user)}{path}", body=content, headers=headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None
        finally:
            connection.close()

    def get(self, path: str, *, user: str = "demo") -> Any:
        """Return the body of a GET that must work."""
        status, body = self.ask("GET", path, user=user)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def version(self, name: str = "10.11") -> Any:
        """Return a version of MariaDB; there are as many as there are images."""
        (found,) = [one for one in self.get("/datastores/mariadb/versions")["versions"] if one["name"] == name]
        return found

    def instance(self, instance_id: str, *, user: str = "demo") -> Any:
        """Return an instance as the API shows it, None when it is gone."""
        status, body = self.ask("GET", f"/instances/{instance_id}", user=user)
        if status == 404:
            return None
        assert status == 200, body
        return body["instance"]

    def create(self, name: str, *, user: str = "demo", **more: Any) -> str:
        """Ask for an instance with database `shop` and user `alice` (password `secret-{name}`); return its id."""
        wanted = {
            "name": name,
            "flavorRef": "1",
            "volume": {"size": 1},
            "datastore": {"type": "mariadb"},
            "databases": [{"name": "shop"}],
            "users": [{"name": "alice", "password": f"secret-{name}", "databases": [{"name": "shop"}]}],
        }
        status, body = self.ask("POST", "/instances", {"instance": wanted | more}, user=user)
        assert status == 200, body
        return str(body["instance"]["id"])

    def healthy(self, instance_id: str, *, user: str = "demo", timeout_s: float = BUILD_S) -> Any:
        """Wait until an instance is ACTIVE and HEALTHY; return it."""
        deadline = time.monotonic() + timeout_s
        while True:
            shown = self.instance(instance_id, user=user)
            assert shown is not None, f"{instance_id} is gone"
            if (shown["status"], shown["operating_status"]) == ("ACTIVE", "HEALTHY"):
                return shown
            assert shown["status"] != "ERROR", f"{shown}\n{self.tails()}"
            assert time.monotonic() < deadline, f"{shown}\n{self.tails()}"
            time.sleep(0.05)

    def gone(self, instance_id: str, *, user: str = "demo", timeout_s: float = 60) -> bool:
        """Wait until an instance is gone."""
        self.until(lambda: self.instance(instance_id, user=user) is None, timeout_s=timeout_s)
        return True

    def until(self, ask: Callable[[], Any], *, timeout_s: float = 60) -> Any:
        """Ask until the answer is true; return it."""
        deadline = time.monotonic() + timeout_s
        while not (value := ask()):
            assert time.monotonic() < deadline, f"it did not come true\n{self.tails()}"
            time.sleep(0.05)
        return value

    def remove(self, instance_id: str, *, user: str = "demo") -> None:
        """Delete an instance whatever its state is, and wait until it is gone."""

        def done() -> bool:
            return self.ask("DELETE", f"/instances/{instance_id}", user=user)[0] in {202, 404}

        self.until(done)
        self.gone(instance_id, user=user)

    def sql(self, instance_id: str, statement: str, *, user: str, password: str) -> list[tuple[Any, ...]]:
        """Log in to the database server of an instance and run one statement there; return the rows."""
        shown = self.instance(instance_id, user="admin")
        connection = pymysql.connect(
            host=shown["addresses"][0]["address"],
            port=3306,
            user=user,
            password=password.encode(),
            connect_timeout=20,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def may_log_in(self, instance_id: str, *, user: str, password: str) -> bool:
        """Return whether the database server lets that user in."""
        try:
            self.sql(instance_id, "SELECT 1", user=user, password=password)
        except pymysql.err.OperationalError as error:
            if error.args[0] == 1045:
                return False
            raise
        return True

    def tails(self) -> str:
        """Return the ends of the service's logs, for messages of tests that fail."""
        return self.stack.tails()

    def story(self) -> str:
        """Return what was asked and answered, for messages of tests that fail."""
        return "\n".join(
            f"{one.method} {one.path}?{one.query} {json.dumps(one.sent)} -> {one.status} {json.dumps(one.answer)[:400]}"
            for one in self.recorder.exchanges[-12:]
        )


@contextmanager
def clients(home: Path) -> Iterator[Clients]:
    """Bring up Keystone, a stack and the recorder between; `home` is the clients' empty home directory."""
    direct, recorded = free_port(), free_port()
    with ExitStack() as after:
        keystone = after.enter_context(keystones.keystone(trove_url=f"http://127.0.0.1:{recorded}"))
        options = ("--auth-url", keystone.url, "--auth-user", "trove", "--auth-project", "service")
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("TROVE_LOCAL_AUTH_PASSWORD", keystones.SERVICE_PASSWORD)
            own = after.enter_context(stack(*options, config=CONFIG, port=direct))
        recorder = Recorder()
        after.enter_context(recording(recorder, port=recorded, towards=direct))
        peer = after.enter_context(_peer())
        yield Clients(stack=own, keystone=keystone, recorder=recorder, port=recorded, home=home, peer=peer)


@contextmanager
def _peer() -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-W", "ignore", str(PEER)]
    environ: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
