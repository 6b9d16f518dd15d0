"""What guests reach an object store through that has no endpoint of its own: PUT and GET of objects, by ticket only."""

import logging
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from trove.core.errors import InvalidInput, NotFound, Refused, TroveError, Unavailable
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import SEALED, Signer

LOG = logging.getLogger(__name__)

MOST_BYTES = 5 * 1024**3
"""Largest object that is taken."""

META = "x-object-meta-"
MOST_METADATA = 16
LONGEST_METADATA = 256
CHUNK = 256 * 1024
SOCKET_TIMEOUT_S = 60.0
MOST_AT_ONCE = 128
_CODES = {Refused: HTTPStatus.FORBIDDEN, NotFound: HTTPStatus.NOT_FOUND, InvalidInput: HTTPStatus.BAD_REQUEST}


class Endpoint(ThreadingHTTPServer):
    """Serves `store` on `address`. A ticket is checked before anything is read or written; there is nothing else to ask for."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], store: FileObjectStore, signer: Signer) -> None:
        self.store = store
        self.signer = signer
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own; others wait in the kernel while there are too many."""
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what broke; a client that goes away is none of it."""
        LOG.debug("A connection of %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"
    server_version = "trove-objectstore"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_S

    def do_PUT(self) -> None:
        """Store the body as an object, whole or not at all."""
        self._answered(self._put)

    def do_GET(self) -> None:
        """Send an object."""
        self._answered(self._get)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: the URL holds the ticket."""

    def _put(self) -> None:
        container, name = self._admitted("PUT")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 15 and int(length) <= MOST_BYTES):
            raise InvalidInput(f"Content-Length must be given, and at most {MOST_BYTES}.")
        prefix = self._query()["prefix"]
        self._need_open(container, prefix)
        body = self._unless_sealed(container, prefix, int(length))
        self.server.store.put(container, name, body, metadata=self._metadata())
        self._say(HTTPStatus.CREATED)

    def _get(self) -> None:
        container, name = self._admitted("GET")
        info = self.server.store.info(container, name)
        chunks = self.server.store.get(container, name)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(info.size))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)

    def _admitted(self, verb: str) -> tuple[str, str]:
        parts = urlsplit(self.path)
        container, _, name = parts.path.lstrip("/").partition("/")
        container, name = unquote(container), unquote(name)
        self.server.signer.check(verb, container, name, self._query())
        return container, name

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, max_num_fields=10))

    def _need_open(self, container: str, prefix: str) -> None:
        if self.server.store.is_sealed(container, prefix):
            raise Refused(SEALED)

    def _unless_sealed(self, container: str, prefix: str, length: int) -> Iterator[bytes]:
        """Yield the body, and fail at its end when the prefix was sealed meanwhile: the object is not there before that."""
        yield from self._body(length)
        self._need_open(container, prefix)

    def _metadata(self) -> dict[str, str]:
        """Return what the headers say of the object, by name in lower case."""
        found = {key.lower().removeprefix(META): text for key, text in self.headers.items() if key.lower().startswith(META)}
        if len(found) > MOST_METADATA or any(len(key) + len(text) > LONGEST_METADATA for key, text in found.items()):
            raise InvalidInput("There are too many headers about the object, or they are too long.")
        return found

    def _body(self, length: int) -> Iterator[bytes]:
        while length:
            chunk = self.rfile.read(min(length, CHUNK))
            if not chunk:
                raise ConnectionAbortedError("the client went away")
            length -= len(chunk)
            yield chunk

    def _answered(self, deed: Any) -> None:
        try:
            deed()
        except TroveError as error:
            # What is left of a body would be taken for the next request.
            self.close_connection = True
            if isinstance(error, Unavailable):
                LOG.warning("Answering 503: %s", error.message)
            self._say(_CODES.get(type(error), HTTPStatus.SERVICE_UNAVAILABLE))
        except ValueError:
            self.close_connection = True
            self._say(HTTPStatus.BAD_REQUEST)

    def _say(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
