"""Stacks of dummy services: small processes that only live, so that supervision can be tested by itself."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trove.cmd.local import processes, services
from trove.cmd.local.layout import Layout
from trove.cmd.local.services import Service

WAIT_S = 60.0


def sleeper(name: str, marker: Path, *, code: str = "import time\nwhile True: time.sleep(60)") -> Service:
    """Return a service that runs `code`; `marker` makes its command line its own."""
    return Service(name=name, argv=(sys.executable, "-c", code, str(marker)))


@contextmanager
def dummy_stack(root: Path, *wanted: Service) -> Iterator[Layout]:
    """Prepare a layout with these services; whatever was started is gone afterwards."""
    layout = Layout(root=root)
    layout.create()
    services.write_services(layout, wanted)
    try:
        yield layout
    finally:
        services.stop_supervisor(layout)
        services.stop_services(layout, [service.name for service in wanted], grace_s=5.0)


def start_supervisor(layout: Layout) -> int:
    """Start the real supervisor; return its exit code once it is (or another one was) at work."""
    return subprocess.run(services.supervisor_argv(layout), check=False, capture_output=True).returncode


def await_running(layout: Layout, service: Service, *, other_than: int = 0) -> processes.Identity:
    """Wait until the service runs, as another process than `other_than`."""

    def found() -> bool:
        identity = processes.load(layout.record(service.name))
        return identity is not None and identity.pid != other_than

    assert processes.wait_until(found, WAIT_S), f"{service.name} does not run"
    identity = processes.load(layout.record(service.name))
    assert identity is not None
    return identity
