"""A service of OpenStack's that tests start beside Keystone, in a process of its own."""

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

READY_S = 120.0


@dataclass(kw_only=True)
class ServiceProcess:
    """Runs `argv` in `directory`, which is its home, too: some are told in no other way where their configuration is.

    It is there once anything is answered at `url`.
    """

    url: str
    directory: Path
    argv: list[str]
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environ["HOME"] = str(self.directory)
        with (self.directory / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(self.argv, stdout=log, stderr=log, cwd=self.directory, env=environ)
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self._ask()
                return
            assert self._process.poll() is None, self.story()
            assert time.monotonic() < deadline, self.story()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it. May run twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def story(self) -> str:
        """Return what is known when it went wrong."""
        return "\n".join(log.read_text()[-4000:] for log in sorted(self.directory.glob("*.log")))

    def _ask(self) -> None:
        try:
            urllib.request.urlopen(self.url, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()
