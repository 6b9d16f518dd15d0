"""How a service tells its manager that it is ready and alive: the datagrams of systemd's sd_notify(3).

A service that hangs, or was stopped, tells nothing; its manager kills it then and starts it again. `trove-local` and a
`trove-api` of several processes listen to the same datagrams, which systemd does in a package's installation.
"""

import array
import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

READY = "READY=1"
ALIVE = "WATCHDOG=1"
STOPPING = "STOPPING=1"
START_ALLOWANCE_S = 90.0
"""How long a start, or an end, may be silent."""

TOLD_PER_LIMIT = 3

_CREDENTIALS = struct.Struct("3i")
_LARGEST = 4096


class Notifier:
    """What this process tells its manager; nobody listens when `NOTIFY_SOCKET` is not set. For the main thread.

    Takes the variables out of the environment: the processes that a service starts have nothing to tell its manager.
    `limit_s` is the silence after which the manager acts, None when it does not watch.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        limit_us = os.environ.pop("WATCHDOG_USEC", "")
        meant_for = os.environ.pop("WATCHDOG_PID", "")
        watched = self._address and limit_us.isdecimal() and int(limit_us) > 0 and meant_for in {"", str(os.getpid())}
        self.limit_s = int(limit_us) / 1e6 if watched else None
        self._due = 0.0
        self._ready = False

    @property
    def interval_s(self) -> float | None:
        """Return how many seconds two signs of life are apart, None when nobody waits for them."""
        return None if self.limit_s is None else self.limit_s / TOLD_PER_LIMIT

    def tell(self, *words: str) -> None:
        """Send assignments such as `READY=1`. What cannot be sent is lost: telling must never hold up or end a service."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(words).encode(), _kernel_address(self._address))

    def tell_waiting(self, what: str) -> None:
        """Tell that the start goes on and waits for `what`. Does nothing once the service is ready."""
        if not self._ready:
            self.tell(f"STATUS=waiting for {what}", f"EXTEND_TIMEOUT_USEC={int(START_ALLOWANCE_S * 1e6)}")

    def tell_ready(self) -> None:
        """Tell that the service is at work; from now on its silence counts."""
        self._ready = True
        self.tell(READY, ALIVE, "STATUS=at work")

    def tell_stopping(self) -> None:
        """Tell that the service was asked to end, which may take longer than two signs of life are apart."""
        self.tell(STOPPING, "STATUS=ending")

    def tell_alive(self) -> None:
        """Give a sign of life when one is due; to be called at least every `interval_s` seconds, and cheap."""
        if self.interval_s is None or not self._ready or (now := time.monotonic()) < self._due:
            return
        self._due = now + self.interval_s
        self.tell(ALIVE)


class Listener:
    """The manager's side: a datagram socket whose senders the kernel names. `address` is what `NOTIFY_SOCKET` must say.

    A socket file `path` that is there already is replaced: it is left from an earlier manager, whose services find this one by
    it. Without a path the kernel chooses an address that ends with the socket.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("" if path is None else os.fspath(path))
        self.address = os.fspath(path) if path is not None else f"@{self._socket.getsockname()[1:].decode()}"

    def fileno(self) -> int:
        """Return what to poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def heard(self) -> Iterator[tuple[int, frozenset[str]]]:
        """Yield what came since the last call: the sender's pid, and its assignments."""
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(16 * array.array("i").itemsize)
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_LARGEST, room)
            except BlockingIOError:
                return
            pid = 0
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]
                elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    _close_all(content)
            yield pid, frozenset(data.decode(errors="replace").split("\n"))


def _kernel_address(address: str) -> str:
    """Return the address as the kernel knows it: a leading @ stands for the null byte of Linux's abstract sockets."""
    return f"\0{address[1:]}" if address.startswith("@") else address


def _close_all(content: bytes) -> None:
    """Close descriptors that came along uninvited."""
    numbers = array.array("i")
    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    for number in numbers:
        os.close(number)
