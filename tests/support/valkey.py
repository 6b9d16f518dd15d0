"""Start and stop a real private Valkey server for tests."""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trove.bus import embedded
from trove.bus.resp import RespConnection, ServerError, parse_address


class ValkeyServer:
    """One private server in its own folder; survives `kill` + `start` with what it stored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, deadline_s: float = 20.0) -> None:
        server = embedded.prepare(self.folder, control_password=self.password)
        self.url = server.url
        self.process = subprocess.Popen(server.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + deadline_s
        while True:
            with suppress(OSError, ServerError):
                connection = RespConnection(parse_address(self.url)[0], timeout_s=5)
                try:
                    connection.command("PING")
                    return
                finally:
                    connection.close()
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the Valkey server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server without warning (-9)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def command(self, *arguments: str | bytes | int) -> object:
        """Run one command as the control user."""
        connection = RespConnection(parse_address(self.url)[0], timeout_s=10)
        try:
            return connection.command(*arguments)
        finally:
            connection.close()


@contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    """Run a server until the block ends. `url` is the control user's bus URL."""
    folder = Path(tempfile.mkdtemp(prefix="trove-valkey-"))
    server = ValkeyServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
