"""A host in a temporary directory with plain processes, and a driver that is a sleeping process."""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from tests.support.guests import marked_processes

from trove.core.errors import GuestError
from trove.core.status import ServiceStatus
from trove.datastores.contract import Command
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind


class SleepDriver:
    """A `Driver` whose server is `sleep`; `refuse` makes starts fail, `crashed` is what a dead server looks like."""

    def __init__(self, host: SandboxedHost) -> None:
        self.host = host
        self.config: str | None = None
        self.refuse: str | None = None
        self.refused: str | None = None
        self.starts = 0
        self.tended = 0

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        progress("preparing", 10)
        self.config = config
        self.start()

    def start(self) -> None:
        if self.refuse is not None:
            raise GuestError(self.refuse)
        if self.host.server_pid() is None:
            self.starts += 1
            self.host.start_server(Command(argv=("/bin/sleep", "600")))

    def stop(self, *, timeout_s: float) -> None:
        self.host.signal_server(signal.SIGKILL)
        while self.host.server_pid() is not None:
            os.sched_yield()

    def probe(self) -> ServiceStatus:
        return ServiceStatus.HEALTHY if self.host.server_pid() is not None else ServiceStatus.SHUTDOWN

    def version(self) -> str | None:
        return "1.2.3"

    def tend_logs(self) -> None:
        self.tended += 1

    def write_config(self, config: str) -> None:
        self.config = config

    def apply_config(self, config: str, *, at_restart: Collection[str]) -> bool:
        self.config = config
        return bool(at_restart)

    def refused_config(self) -> str | None:
        return self.refused

    def wipe(self) -> None:
        self.stop(timeout_s=1)


@pytest.fixture
def settings(tmp_path: Path) -> HostSettings:
    return HostSettings(
        instance_id=tmp_path.name + str(os.getpid()),
        address="127.0.0.1",
        data_dir=tmp_path / "volume",
        run_dir=tmp_path / "run",
        config_dir=tmp_path / "config",
        log_dir=tmp_path / "log",
        sandbox=SandboxKind.PROCESS,
    )


@pytest.fixture
def host(settings: HostSettings) -> Iterator[SandboxedHost]:
    yield SandboxedHost(settings)
    for pid in marked_processes(settings.instance_id):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def driver(host: SandboxedHost) -> SleepDriver:
    return SleepDriver(host)
