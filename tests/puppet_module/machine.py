"""A private machine for Puppet: this one's files below a throw-away layer, its own processes, the network of the test."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended, and what it said on both of its outputs."""

    code: int
    out: str


class Machine:
    """The machine as seen from outside. `shared` is the directory that both sides see."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared

    def run(self, *command: str, **environment: str) -> Done:
        """Run a command as root in there."""
        answer = self._ask({"run": command, "environment": ENVIRONMENT | environment})
        return Done(code=answer["code"], out=answer["out"])

    def must(self, *command: str) -> str:
        """Run a command that has to succeed; return what it said."""
        done = self.run(*command)
        assert done.code == 0, f"{command}: {done.code}\n{done.out[-6000:]}"
        return done.out

    def put(self, path: str, content: str, mode: str = "0600") -> None:
        """Write a file in there, as somebody who sets up the machine would."""
        draft = self.shared / "draft"
        draft.write_text(content)
        self.must("install", "-D", "-m", mode, str(draft), path)
        draft.unlink()

    def pids(self) -> dict[str, int]:
        """Return the processes of the services that run."""
        return dict(self._ask({"pids": True}))

    def log(self, unit: str) -> str:
        """Return what a service has said."""
        return self.run("cat", f"/run/{unit}.log").out

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(900)
            door.connect(str(self.shared / "door.sock"))
            door.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(door.makefile().readline())
            return answer


@contextmanager
def machine(needed: Sequence[Path] = ()) -> Iterator[Machine]:
    """Start a machine; end all its processes and forget its files afterwards. It takes root."""
    assert os.geteuid() == 0, "Puppet makes users and files of root's: run this test as root"
    shared = Path(tempfile.mkdtemp(prefix="trove-puppet-"))
    inside = Path(__file__).with_name("inside.py")
    paths = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), *needed]
    command = [sys.executable, "-I", str(inside), str(shared), *map(str, paths)]
    process: subprocess.Popen[bytes] | None = None
    try:
        with (shared / "machine.log").open("wb") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (shared / "door.sock").exists():
            assert process.poll() is None, (shared / "machine.log").read_text()
            assert time.monotonic() < deadline, "the private machine does not start"
            time.sleep(0.02)
        yield Machine(shared)
    finally:
        if process is not None:
            # Its child is PID 1 in there: with it all others end.
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        shutil.rmtree(shared, ignore_errors=True)
