"""The demo: the whole service in a stack of its own, driven by the real `openstack database` commands, then removed.

`make demo`, or for instance `make demo ARGS="--datastore postgresql --version 17"`. Builds a server, uses it over TCP, restarts
and deletes it. The last line tells the two times that matter.
"""

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keystoneauth1.session
import troveclient.v1.client
from demo_clients import Client, client_for
from keystoneauth1.http_basic import HTTPBasicAuth

BIN = Path(sys.executable).parent
BUILD_TIMEOUT_S = 300.0
DELETE_TIMEOUT_S = 120.0
WATCH_S = 0.05
DATASTORES = ("mariadb", "mysql", "postgresql", "redis", "valkey")
ROWS = ((1, "a chair"), (2, "two tables"), (3, "Äpfel"))


class DemoError(Exception):
    """A step failed; the message says how."""


@dataclass(kw_only=True)
class Demo:
    """One run of the story. `step` is what it is at, for the message when it fails."""

    state_dir: Path
    port: int
    datastore: str
    version: str | None
    step: str = "prepare"
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    library: Any = field(default=None, repr=False)
    address: str = ""
    user: str = "alice"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)

    @property
    def client(self) -> Client:
        """Return what speaks to the database."""
        return client_for(self.datastore)

    def begin(self, step: str) -> None:
        """Say what comes next."""
        self.step = step
        print(f"── {step}", flush=True)

    def trove_local(self, *words: str, quiet: bool = True) -> str:
        """Run trove-local on this demo's state directory; return what it printed."""
        argv = [str(BIN / "trove-local"), *words, "--state-dir", str(self.state_dir)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"`trove-local {words[0]}` ended with exit code {done.returncode}")
        if not quiet:
            print(done.stdout, end="", flush=True)
        return done.stdout

    def openstack(self, *words: str) -> Any:
        """Run `openstack …` and return its JSON output, None when it prints none."""
        shown = ["***" if self.password in word else word for word in words]
        print(f"   $ openstack {shlex.join(shown)}", flush=True)
        done = self._client(*words)
        if done.returncode != 0:
            raise DemoError(f"`openstack {shlex.join(shown)}` failed: {done.stderr.strip()}")
        return json.loads(done.stdout) if "json" in words else None

    def _client(self, *words: str) -> "subprocess.CompletedProcess[str]":
        argv = [str(BIN / "openstack"), *words]
        return subprocess.run(argv, env=self.environ, capture_output=True, text=True, check=False)

    def start(self) -> None:
        """Start the service and take the client's settings from `trove-local env`."""
        self.begin("start the service: bus, API, task manager, conductor")
        self.trove_local("up", "--port", str(self.port), quiet=False)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        for line in self.trove_local("env").splitlines():
            words = shlex.split(line)
            if words[:1] == ["export"]:
                name, _, value = words[1].partition("=")
                self.environ[name] = value

    def create(self) -> tuple[str, float]:
        """Ask for an instance; return its id and when the request was accepted (monotonic), seen by a second client."""
        self.begin("choose a flavor and a datastore")
        flavor = min(self.openstack("database", "flavor", "list", "-f", "json"), key=lambda one: int(one["RAM"]))
        version = self.choose_version()
        self.begin(f"create an instance: {self.datastore} {version}, 1 GiB volume, user `alice`")
        self.library = self.troveclient()
        words = ["database", "instance", "create", "demo", "--flavor", str(flavor["ID"]), "--size", "1"]
        words += ["--datastore", self.datastore, "--datastore-version", version, "--users", f"{self.user}:{self.password}"]
        if self.client.database is not None:
            words += ["--databases", self.client.database]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.openstack, *words, "-f", "json")
            while not self.library.instances.list() and not asked.done():
                time.sleep(WATCH_S)
            accepted = time.monotonic()
            self.begin("wait until it is built")
            active = self.await_state(accepted)
            return asked.result()["id"], active - accepted

    def choose_version(self) -> str:
        """Return the wanted version, or the first; where it is not on offer, its image is built."""
        names = self.offered()
        if (self.version or self.datastore) not in {*names, *([self.datastore] if names else [])}:
            images = [one["name"] for one in json.loads(self.trove_local("image", "list", "--json"))["images"]]
            fitting = [name for name in images if name == f"{self.datastore}-{self.version}" or not self.version]
            fitting = [name for name in fitting if name.startswith(f"{self.datastore}-")]
            if not fitting:
                raise DemoError(f"{self.datastore} {self.version or ''} is not on offer; images: {', '.join(images)}")
            self.begin(f"build the image {fitting[0]}")
            self.trove_local("image", "build", fitting[0])
            names = self.offered()
        return self.version or names[0]

    def offered(self) -> list[str]:
        """Return the versions of the datastore that are on offer."""
        if self.datastore not in {one["Name"] for one in self.openstack("datastore", "list", "-f", "json")}:
            return []
        return [one["Name"] for one in self.openstack("datastore", "version", "list", self.datastore, "-f", "json")]

    def troveclient(self) -> Any:
        """Return python-troveclient's library with the settings of the environment."""
        auth = HTTPBasicAuth(
            endpoint=self.environ["OS_ENDPOINT"], username=self.environ["OS_USERNAME"], password=self.environ["OS_PASSWORD"]
        )
        return troveclient.v1.client.Client(session=keystoneauth1.session.Session(auth=auth))

    def await_state(self, began: float, *, timeout_s: float = BUILD_TIMEOUT_S) -> float:
        """Show each state of the one instance until it is ACTIVE and its database answers; return when it was (monotonic)."""
        last = ""
        while True:
            found = self.library.instances.list()
            if not found:
                raise DemoError("the instance disappeared")
            shown = found[0]
            state = " ".join(filter(None, (shown.status, getattr(shown, "operating_status", ""))))
            if state != last:
                print(f"   {time.monotonic() - began:5.1f} s  {state}", flush=True)
                last = state
            if shown.status in {"ERROR", "FAILED"}:
                raise DemoError(
                    f"the instance went to {shown.status}: {getattr(self.library.instances.get(shown.id), 'fault', '')}"
                )
            if shown.status == "ACTIVE" and getattr(shown, "operating_status", "HEALTHY") in {"HEALTHY", "ACTIVE"}:
                return time.monotonic()
            if time.monotonic() - began > timeout_s:
                raise DemoError(f"still {state} after {timeout_s:g} s")
            time.sleep(WATCH_S)

    def first_query(self) -> float:
        """Return the seconds until the new server answers its first query."""
        began = time.monotonic()
        found = self.library.instances.list()[0]
        self.address = str(found.addresses[0]["address"])
        version, user = self.client.greet(self.address, self.user, self.password)
        seconds = time.monotonic() - began
        print(f"   {self.address}:{self.client.port} answers as {user}: {self.client.title} {version}", flush=True)
        return seconds

    def use(self) -> None:
        """Write and read rows."""
        self.begin("write and read rows over TCP")
        self.client.write(self.address, self.user, self.password, ROWS)
        self.check_rows()

    def check_rows(self) -> None:
        """Read the rows back."""
        rows = self.client.read(self.address, self.user, self.password)
        if rows != ROWS:
            raise DemoError(f"the rows read back are {rows!r}")
        print(f"   {len(rows)} rows read back: {', '.join(what for _, what in rows)}", flush=True)

    def list_inside(self, instance_id: str) -> None:
        """List databases and users through the API."""
        self.begin("list databases and users through the API")
        for kind, wanted in (("db", self.client.database), ("user", self.user)):
            if wanted is None:
                continue
            names = [one["Name"] for one in self.openstack("database", kind, "list", instance_id, "-f", "json")]
            print(f"   {', '.join(names)}", flush=True)
            if wanted not in names:
                raise DemoError(f"`{wanted}` is not in the list {names}")

    def delete(self, instance_id: str) -> None:
        """Delete the instance and wait until it is gone."""
        self.begin("delete the instance")
        self.openstack("database", "instance", "delete", instance_id)
        began = time.monotonic()
        while self.library.instances.list():
            if time.monotonic() - began > DELETE_TIMEOUT_S:
                raise DemoError(f"still there after {DELETE_TIMEOUT_S:g} s")
            time.sleep(WATCH_S)
        print(f"   {time.monotonic() - began:5.1f} s  gone", flush=True)

    def restart(self, instance_id: str) -> None:
        """Restart the database server and find the rows again."""
        self.begin("restart the database server")
        self.openstack("database", "instance", "restart", instance_id)
        self.await_state(time.monotonic())
        self.check_rows()

    def run(self) -> str:
        """Tell the whole story; return the closing line."""
        self.start()
        instance_id, built_s = self.create()
        self.begin("connect over TCP")
        first_s = self.first_query()
        self.openstack("database", "instance", "show", instance_id, "-f", "json")
        self.use()
        self.list_inside(instance_id)
        self.restart(instance_id)
        self.delete(instance_id)
        self.begin("stop everything")
        self.trove_local("down")
        return f"demo: ok  accepted→ACTIVE {built_s:.1f} s, ACTIVE→first query {first_s:.2f} s"


def free_port() -> int:
    """Return a TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keep_logs(state_dir: Path) -> Path:
    """Copy every log out of the state directory before it is removed; return where they are."""
    kept = Path(tempfile.mkdtemp(prefix="trove-demo-logs-"))
    for log in (*state_dir.rglob("*.log"), *state_dir.rglob("*.err")):
        try:
            shutil.copyfile(log, kept / "-".join(log.relative_to(state_dir).parts))
        except OSError as error:
            print(f"   cannot keep {log}: {error.strerror}", file=sys.stderr)
    return kept


def clean_up(demo: Demo) -> None:
    """Remove the stack with everything in it, undisturbed by a second Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if (demo.state_dir / "stack.json").exists():
            demo.trove_local("reset", "--yes")
        shutil.rmtree(demo.state_dir, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, before)


def attempt(story: Callable[[], str], demo: Demo) -> tuple[int, str]:
    """Run the story; return the exit code and the last line."""
    try:
        return 0, story()
    except KeyboardInterrupt:
        return 130, "demo: interrupted"
    except Exception as error:
        print(f"   {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1, f"demo: failed at step `{demo.step}`; logs: {keep_logs(demo.state_dir)}"


def main() -> int:
    """Run the demo in a fresh state directory and remove it again."""
    parser = argparse.ArgumentParser(description="Runs the whole service, and one database server through its life.")
    parser.add_argument("--datastore", default="mariadb", choices=DATASTORES, help="engine (default: mariadb)")
    parser.add_argument("--version", help="its version, such as 17; an image that is missing is built")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    state_dir = Path(tempfile.mkdtemp(prefix="trove-demo-"))
    state_dir.chmod(0o711)
    demo = Demo(state_dir=state_dir, port=free_port(), datastore=chosen.datastore, version=chosen.version)
    code, line = attempt(demo.run, demo)
    try:
        clean_up(demo)
    except (DemoError, OSError) as error:
        code, line = code or 1, line if code else f"demo: failed at step `clean up`: {error}; left: {state_dir}"
    print(line, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
