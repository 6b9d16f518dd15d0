"""Objects over TLS: a store for whose certificate nobody vouches gets nothing, and one that is vouched for does."""

import ssl
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.certificates import write_certificates

from trove.core.clock import utcnow
from trove.core.errors import Unavailable
from trove.core.tickets import Ticket, Verb
from trove.guestagent import objects

CONTENT = b"what nobody else may see"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that go away."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_PUT(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the class above
        """Keep quiet."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    write_certificates(tmp_path)
    with Server(tmp_path) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def ticket(server: Server) -> Ticket:
    base, expires = f"https://127.0.0.1:{server.server_port}/c", utcnow() + timedelta(minutes=1)
    return Ticket(verb=Verb.PUT, base=base, prefix="a/", expires=expires, query="signature=secret-signature")


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Server) -> None:
    with pytest.raises(Unavailable, match="SSLCertVerificationError") as told:
        objects.put(ticket(server), "a/1", CONTENT, attempts=1)
    assert "secret-signature" not in told.value.message
    assert server.got == []


def test_one_that_is_vouched_for_is_taken(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))))
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    monkeypatch.setattr(objects, "_OPENER", opener)
    objects.put(ticket(server), "a/1", CONTENT, attempts=1)
    assert server.got == [CONTENT]
