"""Machines for guest agents in tests: directories of an unprivileged user, an address, a worker or an agent; no leftovers."""

import base64
import json
import os
import pickle
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cable import inside

from trove.core.ids import new_id
from trove.datastores import registry
from trove.guestagent.host import MARK, HostSettings, SandboxKind

UID = 61_873
DEADLINE_S = 60.0
ROOM_IN_MEMORY = 6 * 2**30
"""What the machines of a run may take there, in bytes. Few of them are there at a time."""

_SOURCE = Path(__file__).resolve().parents[2] / "src"
_WORKER = Path(__file__).with_name("engine_worker.py")


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until the condition holds, and return its value."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {deadline_s} s"
        time.sleep(0.01)


def as_guest(argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` as an unprivileged user who can read our Python, wherever root keeps it."""
    if os.geteuid() != 0:
        return list(argv)
    closed = {Path(place).resolve().parts[1] for place in (sys.base_prefix, sys.prefix, _SOURCE)}
    mounts: list[str] = []
    for top in sorted(closed):
        if not Path("/", top).stat().st_mode & 0o001:
            mounts += ["--tmpfs", f"/{top}"]
    if mounts:
        for place in (sys.base_prefix, sys.prefix, str(_SOURCE), str(_WORKER.parent)):
            mounts += ["--ro-bind", place, place]
    wrapper = ["bwrap", "--dev-bind", "/", "/", *mounts, "--"] if mounts else []
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    return [*wrapper, *drop, *argv]


def agent_command(*options: str) -> list[str]:
    """Return the command line of the guest agent as the unprivileged user."""
    return as_guest([sys.executable, "-B", "-m", "trove.cmd.guestagent", *options])


def marked_processes(instance_id: str) -> list[int]:
    """Return all processes of a database server, whoever owns them."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{MARK}={instance_id}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


class Worker:
    """Drives a `Host` and its `Driver` in another process."""

    def __init__(self, settings: HostSettings, manager: str, namespace: str = "") -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            inside(namespace, as_guest([sys.executable, str(_WORKER)])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=environment,
        )
        assert self._process.stdin is not None
        pickle.dump((settings, manager), self._process.stdin)

    def call(self, path: str, *args: object, **kwargs: object) -> Any:
        """Call `host.…`, `driver.…` or `prepare` there; raises what it raises there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((path, args, kwargs), self._process.stdin)
        self._process.stdin.flush()
        kind, value = pickle.load(self._process.stdout)
        if kind == "error":
            raise value
        return value

    def kill(self) -> None:
        """Kill it without warning; a sandbox around it goes with it. May run twice."""
        if self._process.poll() is not None:
            return
        for pid in _descendants(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@dataclass(kw_only=True)
class Machine:
    """The directories of one instance below `root`, and what was started there."""

    root: Path
    manager: str
    template: Path | None
    instance_id: str = field(default_factory=new_id)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    address: str = ""
    version: str = ""
    sandbox: SandboxKind = SandboxKind.AUTO
    root_dir: Path | None = None
    namespace: str = ""
    """The network namespace that its workers, and what they start, are in; empty for this one."""
    workers: list[Worker] = field(default_factory=list)
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec = registry.spec(self.manager)
        self.address = self.address or free_address(*spec.tcp_ports)
        self.version = self.version or spec.usable_versions[0]

    @property
    def settings(self) -> HostSettings:
        return HostSettings(
            instance_id=self.instance_id,
            address=self.address,
            data_dir=self.root / "volume",
            run_dir=self.root / "run",
            config_dir=self.root / "config",
            log_dir=self.root / "log",
            template_dir=self.template,
            sandbox=self.sandbox,
            hide=(self.root.parent, self.root / "conf.d"),
            root_dir=self.root_dir,
        )

    def worker(self) -> Worker:
        """Start a worker; earlier ones must have been killed."""
        made = Worker(self.settings, self.manager, self.namespace)
        self.workers.append(made)
        return made

    def write_bootstrap(self, transport_url: str, *, report_interval_s: float = 1.0) -> Path:
        """Write the files a guest agent starts from; return their directory."""
        folder = self.root / "conf.d"
        folder.mkdir(mode=0o700, exist_ok=True)
        settings = self.settings
        key = base64.b64encode(self.key).decode()
        host = {
            name: getattr(settings, name) for name in ("address", "data_dir", "run_dir", "config_dir", "log_dir", "sandbox")
        }
        host["template_dir"] = self.template or ""
        host["root_dir"] = self.root_dir or ""
        host["hide"] = ",".join(str(path) for path in settings.hide)
        texts = {
            "guest_info.conf": f"[DEFAULT]\nguest_id={self.instance_id}\ndatastore_manager={self.manager}\n"
            f"datastore_version={self.version}\ntenant_id=p\ninstance_rpc_encr_key={key}\n",
            "trove-guestagent.conf": f"[DEFAULT]\ntransport_url={transport_url}\nreport_interval={report_interval_s}\n",
            "host.conf": "[host]\n" + "".join(f"{name}={value}\n" for name, value in host.items()),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        _give_away(folder)
        return folder

    def agent(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start a real guest agent; its log goes to `agent.log`."""
        with (self.root / "agent.log").open("ab") as log:
            made = subprocess.Popen(
                agent_command("--config-dir", str(folder)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self.agents.append(made)
        return made

    def agent_pid(self) -> int:
        """Return the pid of the agent itself, inside whatever wraps it."""
        return wait_for(lambda: _agent_below(self.agents[-1].pid), "the agent's process")

    def kill_agent(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the agent and wait for its end."""
        os.kill(self.agent_pid(), number)
        self.agents[-1].wait(30)

    def server_pid(self) -> int | None:
        """Return the pid of the database server as the agent wrote it down, if it runs."""
        with suppress(FileNotFoundError, ValueError):
            pid = int(json.loads((self.root / "config/agent/server.json").read_text())["pid"])
            return pid if pid in marked_processes(self.instance_id) else None
        return None

    def stop_all(self) -> None:
        """Kill everything. May run twice."""
        for agent in self.agents:
            if agent.poll() is None:
                for pid in _descendants(agent.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            agent.wait(10)
        for worker in self.workers:
            worker.kill()

        def gone() -> bool:
            left = marked_processes(self.instance_id)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_for(gone, "the end of the database server")

    def clean(self) -> None:
        """Kill everything and remove everything."""
        self.stop_all()
        shutil.rmtree(self.root)


@contextmanager
def machine(
    parent: Path,
    manager: str,
    template: Path | None,
    sandbox: SandboxKind = SandboxKind.AUTO,
    *,
    version: str = "",
    root_dir: Path | None = None,
) -> Iterator[Machine]:
    """Make a machine below `parent` and remove it with all that was started on it. `root_dir` is an image, None the host."""
    root = Path(tempfile.mkdtemp(prefix="i", dir=parent))
    _give_away(root)
    made = Machine(root=root, manager=manager, template=template, sandbox=sandbox, version=version, root_dir=root_dir)
    try:
        yield made
    finally:
        made.clean()


@contextmanager
def machines_directory(*, in_memory: bool = False) -> Iterator[Path]:
    """Make a directory with a short path that the unprivileged user can enter, and remove it.

    With `in_memory` it is there, where that is permitted and there is enough: servers that are killed but never lose their
    power need not wait for disks.
    """
    folder = Path(tempfile.mkdtemp(prefix="trove-e", dir="/tmp"))
    mounted = in_memory and _available_bytes() > 2 * ROOM_IN_MEMORY and _mounts(folder)
    folder.chmod(0o711)
    _give_away(folder)
    try:
        yield folder
    finally:
        if mounted:
            wait_for(lambda: subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0, "unmounting")
        shutil.rmtree(folder, ignore_errors=True)


def _available_bytes() -> int:
    (line,) = [each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def _mounts(folder: Path) -> bool:
    """Put a file system in memory on a directory; tell whether that was permitted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_IN_MEMORY}", "tmpfs", folder]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def make_template(parent: Path, manager: str, root_dir: Path | None = None) -> Path:
    """Prepare a template by the agent's own command."""
    target = parent / f"template-{manager}-{'host' if root_dir is None else root_dir.parent.name}"
    root = [] if root_dir is None else ["--root", str(root_dir)]
    command = agent_command("--make-template", str(target), "--manager", manager, *root)
    done = subprocess.run(command, capture_output=True, cwd="/", check=False, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)


def free_address(*ports: int) -> str:
    """Return a loopback address of its own on which the ports can be bound."""
    while True:
        address = f"127.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        with suppress(OSError), ExitStack() as probes:
            for port in ports:
                probes.enter_context(socket.socket()).bind((address, port))
            return address


def _descendants(pid: int) -> list[int]:
    """Return a process and its descendants in the same session as it, children first."""
    found = []
    session = os.getsid(pid) if Path(f"/proc/{pid}").exists() else -1
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if os.getsid(int(child)) == session:
                found += _descendants(int(child))
    return [*found, pid]


def _agent_below(pid: int) -> int | None:
    for one in _descendants(pid):
        with suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
            if b"trove.cmd.guestagent" in words and Path(f"/proc/{one}/comm").read_text().startswith("python"):
                return one
    return None
