"""A network between two servers that can be cut: bytes pass through it, or go nowhere, as when a cable is pulled."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.guests import free_address


class Link:
    """Listens on an address of its own, at the port of the server it leads to."""

    def __init__(self, host: str, port: int) -> None:
        self.host = free_address(port)
        self.port = port
        self._target = (host, port)
        self._whole = threading.Event()
        self._whole.set()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((self.host, port))
        self._start(self._accept)

    def cut(self) -> None:
        """Let nothing pass any more: what is sent is lost, and nobody is told."""
        self._whole.clear()

    def mend(self) -> None:
        """Let new connections pass; those that were cut are reset, as after a reboot of a router."""
        self._end_connections()
        self._whole.set()

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self._whole.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_connections()
        for thread in self._threads:
            thread.join(20)

    def _start(self, do: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=do, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.append(near)
            self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        self._whole.wait()
        with suppress(OSError):
            far = socket.create_connection(self._target, timeout=10)
            far.settimeout(None)
            with self._lock:
                self._sockets.append(far)
            self._start(self._pass_on, near, far)
            self._pass_on(far, near)
            return
        near.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                if not self._whole.is_set():
                    # Held, not closed: the other side is to hear nothing at all.
                    self._whole.wait()
                    break
                target.sendall(content)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _end_connections(self) -> None:
        with self._lock:
            ended, self._sockets = self._sockets, []
        for each in ended:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def link(host: str, port: int) -> Iterator[Link]:
    """Lead to a server, and leave nothing behind."""
    made = Link(host, port)
    try:
        yield made
    finally:
        made.close()
