"""A whole private stack for tests: `trove-local up` in a directory of its own, real clients, and proof that nothing is left."""

import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keystoneauth1.session
import pymysql
from keystoneauth1.http_basic import HTTPBasicAuth
from tests.support.living_files import contents, living_files
from tests.support.ports import free_port

from trove.cmd.local import processes
from trove.cmd.local.layout import Layout

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Of the client's own imports.
    import troveclient.v1.client

BIN = Path(sys.executable).parent
BUILD_S = 150.0
SERVERS = {"mariadbd", "mysqld", "postgres", "redis-server", "valkey-server"}
DELETE_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP reply; `body` is the decoded JSON, None without a body."""

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Stack:
    """A running stack. Accounts are `admin` and `demo`, each with a project of its own."""

    root: Path
    port: int
    prefix: tuple[str, ...] = ()
    _environments: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def trove_local(self, verb: str, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run trove-local on this stack."""
        argv = [*self.prefix, str(BIN / "trove-local"), verb, "--state-dir", str(self.root), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=300)
        assert not check or done.returncode == 0, f"trove-local {verb}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *options: str) -> None:
        """Bring it up (again)."""
        self.trove_local("up", "--port", str(self.port), *options)

    def status(self) -> dict[str, Any]:
        """Return what `status --json` prints."""
        shown: dict[str, Any] = json.loads(self.trove_local("status", "--json", check=False).stdout)
        return shown

    def environment(self, user: str = "admin") -> dict[str, str]:
        """Return the variables that `env` prints."""
        if user not in self._environments:
            lines = self.trove_local("env", *(() if user == "admin" else ("--user", user))).stdout.splitlines()
            words = [shlex.split(line) for line in lines]
            pairs = [word[1].partition("=") for word in words if word[0] == "export"]
            self._environments[user] = {name: value for name, _, value in pairs}
        return self._environments[user]

    def client(self, user: str = "admin") -> Any:
        """Return python-troveclient's library for a user."""
        environ = self.environment(user)
        auth = HTTPBasicAuth(endpoint=environ["OS_ENDPOINT"], username=environ["OS_USERNAME"], password=environ["OS_PASSWORD"])
        return troveclient.v1.client.Client(session=keystoneauth1.session.Session(auth=auth))

    def openstack(self, *words: str, user: str = "admin", check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `openstack …` as a user would after `eval "$(trove-local env)"`."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | self.environment(user)
        done = subprocess.run([str(BIN / "openstack"), *words], env=environ, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"openstack {words}: {done.stdout}\n{done.stderr}"
        return done

    def project(self, user: str = "admin") -> str:
        """Return the project id of a user."""
        return self.environment(user)["OS_ENDPOINT"].rpartition("/")[2]

    def proof(self, user: str) -> dict[str, str]:
        """Return the header by which a user proves who he is."""
        environ = self.environment(user)
        token = b64encode(f"{environ['OS_USERNAME']}:{environ['OS_PASSWORD']}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def request(
        self, method: str, path: str, body: Any = None, *, user: str = "admin", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one raw request to `/v1.0/{project}{path}`; `body` is sent as JSON, or as it is when it is bytes."""
        sent = {**self.proof(user), "Content-Type": "application/json", **(headers or {})}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, f"/v1.0/{self.project(user)}{path}", body=content, headers=sent)
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        finally:
            connection.close()
        decoded = None
        with suppress(ValueError):
            decoded = json.loads(text)
        return Reply(status=reply.status, body=decoded, text=text, headers=dict(reply.getheaders()))

    def create(self, name: str, *, user: str = "admin", **more: Any) -> str:
        """Ask for an instance with database `shop` and user `alice` (password `secret-{name}`); return its id."""
        wanted = {
            "name": name,
            "flavorRef": "1",
            "volume": {"size": 1},
            "datastore": {"type": "mariadb"},
            "databases": [{"name": "shop"}],
            "users": [{"name": "alice", "password": f"secret-{name}", "databases": [{"name": "shop"}]}],
        }
        reply = self.request("POST", "/instances", {"instance": wanted | more}, user=user)
        assert reply.status == 200, reply.text
        return str(reply.body["instance"]["id"])

    def show(self, instance_id: str, *, user: str = "admin") -> dict[str, Any] | None:
        """Return the instance as the API shows it, None when it is gone. An API that is being restarted is waited for."""
        deadline = time.monotonic() + 60
        while True:
            try:
                reply = self.request("GET", f"/instances/{instance_id}", user=user)
            except OSError:
                assert time.monotonic() < deadline, "the API does not answer"
                time.sleep(0.1)
                continue
            if reply.status == 404:
                return None
            if reply.status != 503:
                assert reply.status == 200, reply.text
                shown: dict[str, Any] = reply.body["instance"]
                return shown
            assert time.monotonic() < deadline, reply.text
            time.sleep(0.1)

    def await_healthy(self, instance_id: str, *, timeout_s: float = BUILD_S, user: str = "admin") -> dict[str, Any]:
        """Wait until the instance is ACTIVE and HEALTHY; fail at once when it is in ERROR."""
        deadline = time.monotonic() + timeout_s
        while True:
            shown = self.show(instance_id, user=user)
            assert shown is not None, f"{instance_id} is gone"
            state = (shown["status"], shown.get("operating_status"))
            if state == ("ACTIVE", "HEALTHY"):
                return shown
            assert shown["status"] not in {"ERROR", "FAILED"}, f"{shown}\n{self.tails()}"
            assert time.monotonic() < deadline, f"still {state} after {timeout_s} s\n{self.tails()}"
            time.sleep(0.1)

    def await_error(self, instance_id: str, *, timeout_s: float = BUILD_S) -> str:
        """Wait until the instance is in ERROR; return its fault's message."""
        deadline = time.monotonic() + timeout_s
        while True:
            shown = self.show(instance_id)
            assert shown is not None, f"{instance_id} is gone"
            if shown["status"] == "ERROR":
                return str((shown.get("fault") or {}).get("message", ""))
            assert shown["status"] != "ACTIVE", "it was built"
            assert time.monotonic() < deadline, f"still {shown['status']} after {timeout_s} s\n{self.tails()}"
            time.sleep(0.1)

    def delete(self, instance_id: str, *, user: str = "admin") -> None:
        """Ask for deletion; fine when it is gone already."""
        reply = self.request("DELETE", f"/instances/{instance_id}", user=user)
        assert reply.status in {202, 404}, reply.text

    def await_gone(self, instance_id: str, *, timeout_s: float = DELETE_S, user: str = "admin") -> None:
        """Wait until the instance is gone from the API and left nothing on the machine."""
        deadline = time.monotonic() + timeout_s
        while (shown := self.show(instance_id, user=user)) is not None:
            assert time.monotonic() < deadline, f"still {shown['status']} after {timeout_s} s\n{self.tails()}"
            time.sleep(0.1)
        while left := self.leftovers(instance_id):
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.1)

    def connect(self, shown: Mapping[str, Any], *, password: str, user: str = "alice") -> "pymysql.connections.Connection[Any]":
        """Connect to an instance over TCP."""
        return pymysql.connect(
            host=shown["addresses"][0]["address"],
            port=3306,
            user=user,
            password=password.encode(),  # PyMySQL would send text in Latin-1.
            database="shop",
            connect_timeout=20,
        )

    def await_query(self, instance_id: str, *, password: str, timeout_s: float = 60.0) -> None:
        """Wait until the database answers a query; until the next heartbeat the API may show it healthy while it restarts."""
        deadline = time.monotonic() + timeout_s
        while True:
            shown = self.show(instance_id)
            assert shown is not None
            with suppress(pymysql.err.OperationalError):
                self.connect(shown, password=password).close()
                return
            assert time.monotonic() < deadline, f"the database does not answer\n{self.tails()}"
            time.sleep(0.1)

    def kill(self, service: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Kill a service with -9, or send it another signal, as soon as it has a pid; return that pid."""
        pid: int = await_value(lambda: self.pid(service), 30.0, f"{service} has no pid")
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        return pid

    def pid(self, service: str) -> int | None:
        """Return the pid of a service, None when it does not run. Far cheaper than asking `status`."""
        identity = processes.load(Layout(root=self.root).record(service))
        return None if identity is None else identity.pid

    def operations(self, instance_id: str) -> list[dict[str, Any]]:
        """Return what was done to an instance, the latest first."""
        reply = self.request("GET", f"/instances/{instance_id}/operations")
        assert reply.status == 200, reply.text
        found: list[dict[str, Any]] = reply.body["operations"]
        return found

    def servers(self, instance_id: str) -> list[int]:
        """Return the pids of the database servers that run for an instance."""
        named = processes_naming(instance_id)
        return [pid for pid, line in named if line.partition(" ")[0].rpartition("/")[2] in SERVERS]

    def await_service(self, service: str, *, other_than: int) -> None:
        """Wait until a service runs as another process than before."""
        await_value(lambda: self.pid(service) not in {None, other_than}, 60.0, f"{service} was not restarted")

    def instance_row(self, instance_id: str) -> dict[str, Any] | None:
        """Return the instance's entry in `status --json`."""
        return next((row for row in self.status()["instances"] if row["id"] == instance_id), None)

    def leftovers(self, word: str) -> list[str]:
        """Return processes (by command line or directory), mounts, loop devices and files of this stack that name `word`."""
        found = [f"process {pid}: {line}" for pid, line in processes_naming(word)]
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if word in line]
        # Not `rglob`, which fails when a directory goes while it looks.
        files = [f"{place}/{name}" for place, inner, outer in os.walk(self.root) for name in (*inner, *outer) if word in name]
        loops = []
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):
                loops.append(backing.read_text())
        return found + mounts + files + [f"loop device on {file}" for file in loops if word in file]

    def tails(self) -> str:
        """Return the ends of all logs, for messages of tests that fail."""
        logs = sorted(contents(*(file for file in living_files(self.root) if file.suffix == ".log")))
        return "\n".join(f"== {log}\n{content.decode(errors='replace')[-3000:]}" for log, content in logs)


def processes_naming(word: str) -> list[tuple[int, str]]:
    """Return pid and command line of the processes whose command line, working directory or root names `word`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = line + " " + os.fspath((entry / "cwd").readlink())
            if word in where and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append((int(entry.name), line))
    return found


def await_value(ask: Callable[[], Any], timeout_s: float, complaint: str) -> Any:
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + timeout_s
    while not (value := ask()):
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
    return value


@contextmanager
def stack(
    *options: str,
    config: str = "",
    prefix: Sequence[str] = (),
    prepare: Callable[[Path], None] | None = None,
    port: int | None = None,
) -> Iterator[Stack]:
    """Bring a private stack up with these options of `up`; afterwards it is reset, and whatever is left fails the test.

    `config` are lines of trove.conf that win over the generated ones. `prefix` are words before every `trove-local`.
    `prepare` gets the empty state directory.
    """
    root = Path(tempfile.mkdtemp(prefix="trove-t-"))
    root.chmod(0o711)
    made = Stack(root=root, port=port or free_port(), prefix=tuple(prefix))
    try:
        if config:
            (root / "etc").mkdir()
            (root / "etc" / "override.conf").write_text(config)
        if prepare is not None:
            prepare(root)
        made.up(*options)
        yield made
    finally:
        problem = ""
        if (root / "stack.json").exists():
            done = made.trove_local("reset", "--yes", check=False)
            problem = "" if done.returncode == 0 else f"{done.stderr}\n{made.tails()}"
        left = [] if problem else made.leftovers(root.name)
        for pid, _ in processes_naming(root.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)
    assert not problem, problem
    assert not left, f"left behind after reset: {left}"
