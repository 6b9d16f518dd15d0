"""Runs a real server for a test as an unprivileged user, so that it dies with the test whatever happens."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.standstill import go_on, stand_still

START_TIMEOUT_S = 60


def program(path: str, package: str) -> str:
    """Return the path of a program; fail naming the command that installs it."""
    found = shutil.which(path)
    if found is None:
        raise RuntimeError(f"{path} is missing; install it with: apt-get install --no-install-recommends {package}")
    return found


@contextmanager
def private_directory(prefix: str) -> Iterator[Path]:
    """Make a directory that the unprivileged user owns, and remove it. Not pytest's: that is closed to other users."""
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        directory.chmod(0o711)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def unprivileged(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` as nobody when we are root, and kills it when its parent dies."""
    user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig=KILL", *command]


def run_unprivileged(command: Sequence[str], *, cwd: Path) -> None:
    """Run a command to its end; fail with its output."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(cwd), "TMPDIR": str(cwd)}
    done = subprocess.run(
        unprivileged(command), cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


class Serving:
    """A server under test: `kill` it without warning, `start` it again."""

    def __init__(self, command: Sequence[str], *, cwd: Path, ready: Callable[[], bool]) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; wait until it is ready."""
        log = self._cwd / "server.log"
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self._cwd), "TMPDIR": str(self._cwd)}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                unprivileged(self._command),
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server by SIGKILL, and wait for the processes it began: PostgreSQL does not start while one is left."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.stop(signal.SIGKILL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(_serves(int(pid)) for pid in children):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} left processes behind")
            time.sleep(0.02)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server stand still as long as the block lasts: it refuses nothing and answers nothing."""
        assert self._process is not None
        stand_still(self._process.pid)
        try:
            yield
        finally:
            go_on(self._process.pid)

    def stop(self, how: signal.Signals) -> None:
        """End the server by a signal, by SIGKILL when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _serves(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def serving(command: Sequence[str], *, cwd: Path, ready: Callable[[], bool], stop: signal.Signals) -> Iterator[Serving]:
    """Run a server; wait until it is `ready`; end it with `stop`."""
    server = Serving(command, cwd=cwd, ready=ready)
    try:
        server.start()
        yield server
    finally:
        server.stop(stop)
