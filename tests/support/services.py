"""Our services as processes of their own, started and ended by tests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def process(words: list[str], log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as file:
        child = subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, **environment}, start_new_session=True)
    try:
        yield child
    finally:
        # The whole session: an API of several processes may have left some behind.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def service(name: str, conf_file: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    words = [sys.executable, "-m", f"trove.cmd.{name}", f"--config-file={conf_file}"]
    with process(words, conf_file.parent / f"{name}.log", PYTHONPATH=str(conf_file.parent), **environment) as child:
        yield child


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def log_of(name: str, conf_file: Path) -> str:
    return (conf_file.parent / f"{name}.log").read_text()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
