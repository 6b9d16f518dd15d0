"""Stands between a guest and an object store, passes bytes on, and fails as it is told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BLOCK = 16 * 1024


@dataclass
class Trouble:
    """What happens to the next connections, one of these for each; after that all is well.

    "refuse": closed at once. "500": answered with an error before anything is passed on. "cut": closed in the middle of what
    the client sends. "cut answer": in the middle of what it is sent. "lose answer": all is passed on, the answer is lost.
    `always` is what happens to all.
    """

    coming: list[str] = field(default_factory=list)
    always: str | None = None
    seen: int = 0

    def take(self) -> str | None:
        self.seen += 1
        if self.always is not None:
            return self.always
        return self.coming.pop(0) if self.coming else None


class Relay:
    """A running relay. `base` changes a URL of the store into one that leads through it."""

    def __init__(self, port: int, trouble: Trouble, target: str) -> None:
        self.port = port
        self.trouble = trouble
        self._target = urlsplit(target).netloc

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def base(self, url: str) -> str:
        return url.replace(f"//{self._target}", f"//127.0.0.1:{self.port}", 1)


@contextmanager
def relay(target: str) -> Iterator[Relay]:
    """Relay to the server at the URL `target`."""
    host, port = urlsplit(target).hostname, urlsplit(target).port
    assert host is not None
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    made = Relay(listener.getsockname()[1], Trouble(), target)
    threads: list[threading.Thread] = []
    clients: list[socket.socket] = []
    lock = threading.Lock()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with lock:
                trouble = made.trouble.take()
                clients.append(client)
            thread = threading.Thread(target=_pass_on, args=(client, (host, port), trouble), daemon=True)
            thread.start()
            threads.append(thread)

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield made
    finally:
        # Closing alone would not wake who accepts.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for client in clients:  # some are kept open for more requests
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(30)


def _pass_on(client: socket.socket, target: tuple[str, int], trouble: str | None) -> None:
    with client, suppress(OSError):
        client.settimeout(30)
        if trouble == "refuse":
            return
        if trouble == "500":
            client.recv(BLOCK)
            client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with socket.create_connection(target, timeout=30) as server:
            back = threading.Thread(target=_back, args=(server, client, trouble), daemon=True)
            back.start()
            passed = 0
            while block := client.recv(BLOCK):
                passed += len(block)
                if trouble == "cut" and passed > BLOCK:
                    break
                server.sendall(block)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR if trouble == "cut" else socket.SHUT_WR)
            back.join(30)


def _back(server: socket.socket, client: socket.socket, trouble: str | None) -> None:
    passed = 0
    with suppress(OSError):
        while block := server.recv(BLOCK):
            passed += len(block)
            if trouble == "lose answer" or (trouble == "cut answer" and passed > BLOCK):
                break
            client.sendall(block)
        client.shutdown(socket.SHUT_RDWR)
