"""Whether a TCP port is free, and who holds it when it is not."""

import contextlib
import socket
from pathlib import Path

from trove.cmd.local.layout import StackError


def check_free(host: str, port: int) -> None:
    """Raise `StackError` naming the holder, as far as it can be seen, when `host`:`port` cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise StackError(f"port {port} needs root; choose one above 1023 with --port") from error
        except OSError as error:
            raise StackError(f"port {port} of {host} is taken{_holder(port)}; choose another with --port") from error


def is_free(host: str, port: int) -> bool:
    """Tell whether `host`:`port` can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            return False
    return True


def free_port(host: str) -> int:
    """Return some port of `host` that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if any(str(fd.readlink()) in inodes for fd in (entry / "fd").iterdir()):
                    return f" by pid {entry.name} ({(entry / 'comm').read_text().strip()})"
    return ""
