"""From Granian's RSGI to the WSGI application, bounded at every point: a request has arrived whole before it costs a thread.

A client that sends slowly, sends half, or hangs up holds a few kilobytes here and no thread. What cannot be begun soon is
refused at once with 503 and `Retry-After`. This is the only place of the API with an event loop; the application never sees it.
"""

import asyncio
import io
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trove.api import faults, formats
from trove.api.faults import RequestTimeout
from trove.api.filters.wsgi import App, Environ, Headers
from trove.core.errors import InvalidInput, Overloaded, TroveError

LOG = logging.getLogger(__name__)

MIB = 1024 * 1024
MOST_BUFFERED_BYTES = 64 * MIB
"""Bodies that are arriving, of all requests together. More are refused: anybody may send, also who cannot log in."""

RETRY_AFTER_S = 1.0

_PLAIN: Mapping[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "trove-api",
    "wsgi.errors": sys.stderr,
    "wsgi.multiprocess": False,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is taken on. Requests that `slow` tells by their path may wait long for others, so they have threads of their own.

    `most_requests` counts those that run and those that wait for a thread, half of it for the slow ones. `wait_timeout_s`
    is how long one waits for a thread, `body_timeout_s` how long a whole body may take to arrive.
    """

    threads: int
    slow_threads: int
    slow: Callable[[str], object]
    most_requests: int
    wait_timeout_s: float
    body_timeout_s: float
    max_body_bytes: int


class _Lane:
    """Threads with a bounded queue before them. `taken` is counted by the event loop's thread alone."""

    def __init__(self, name: str, threads: int, most: int) -> None:
        self.threads = threads
        self.most = max(most, threads)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.taken = 0


class Gateway:
    """An RSGI application around a WSGI one. Used from one event loop; `close` it when the loop has ended."""

    def __init__(self, app: App, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds
        self._quick = _Lane("request", bounds.threads, bounds.most_requests)
        self._slow = _Lane("slow-request", bounds.slow_threads, bounds.most_requests // 2)
        self._buffered = 0
        self._closes = False

    def close_connections(self) -> None:
        """Let each connection end with its next answer."""
        self._closes = True

    def close(self) -> None:
        """Wait for the requests that run. May run twice."""
        for lane in (self._quick, self._slow):
            lane.pool.shutdown(cancel_futures=True)

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request."""
        lane = self._slow if self._bounds.slow(scope.path) else self._quick
        try:
            body = await self._body(scope, proto) if _has_body(scope.headers) else b""
            if lane.taken >= lane.most:
                raise _overloaded("The service has too many requests in hand")
            await self._work(lane, scope, proto, body)
        except TroveError as error:
            answer = faults.of(error)
            media_type, content = formats.fault(answer, scope.headers.get("accept", ""))
            headers = [("content-type", media_type), ("connection", "close"), *answer.headers.items()]
            proto.response_bytes(answer.code, headers, content)

    async def _work(self, lane: _Lane, scope: Any, proto: Any, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end(done: "Future[None]") -> None:
            lane.taken -= 1
            if not ended.done():
                ended.set_result(None)
            if not done.cancelled() and done.exception() is not None:
                LOG.error("A reply could not be sent", exc_info=done.exception())

        waits = lane.taken >= lane.threads
        lane.taken += 1
        running = lane.pool.submit(self._run, scope, proto, body)
        running.add_done_callback(lambda done: _tell(loop, end, done))
        if waits:
            # Should the client lose patience before its turn comes, nothing is done for it.
            gone = asyncio.ensure_future(proto.client_disconnect())
            await asyncio.wait((gone, ended), return_when=asyncio.FIRST_COMPLETED, timeout=self._bounds.wait_timeout_s)
            left = gone.done()
            gone.cancel()
            if not ended.done() and running.cancel():
                if left:
                    return
                raise _overloaded("The service is too busy to begin this request")
        await ended

    def _run(self, scope: Any, proto: Any, body: bytes) -> None:
        """Run the application in a thread of the pool and send its reply from there."""
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, _exc_info: Any = None) -> Callable[[bytes], None]:
            started.append((status, headers))
            return written.append

        written: list[bytes] = []
        try:
            chunks = self._app(_environ(scope, body), start_response)
            try:
                written.extend(chunks)
            finally:
                getattr(chunks, "close", _nothing)()
            status, headers = started[-1]
            code, content = int(status[:3]), b"".join(written)
        except Exception as error:
            answer = faults.of(error)
            code, headers, content = answer.code, [("Content-Type", faults.JSON_TYPE), *answer.headers.items()], answer.body
        if self._closes:
            headers = [*headers, ("Connection", "close")]
        proto.response_bytes(code, headers, content)

    async def _body(self, scope: Any, proto: Any) -> bytes:
        """Return the body; of a chunked one that is too long, some more than is allowed.

        A body that says itself that it is too long is not read: the application will refuse it by its headers.
        """
        declared = scope.headers.get("content-length")
        if declared is not None and (not _is_number(declared) or int(declared) > self._bounds.max_body_bytes):
            return b""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._bounds.body_timeout_s):
                async for part in proto:
                    parts.append(part)
                    size += len(part)
                    self._buffered += len(part)
                    if self._buffered > MOST_BUFFERED_BYTES:
                        raise _overloaded("The service is receiving too much at once")
                    if size > self._bounds.max_body_bytes:
                        break
        except TimeoutError:
            raise RequestTimeout(f"The request body did not arrive within {self._bounds.body_timeout_s:g} seconds.") from None
        finally:
            self._buffered -= size
        if declared is not None and size != int(declared):
            raise InvalidInput("The request body is shorter than its Content-Length.")
        return b"".join(parts)


def _tell(loop: asyncio.AbstractEventLoop, end: "Callable[[Future[None]], None]", done: "Future[None]") -> None:
    with suppress(RuntimeError):  # The loop has ended: the service stops, and the client was gone before.
        loop.call_soon_threadsafe(end, done)


def _overloaded(what: str) -> Overloaded:
    return Overloaded(f"{what}; nothing was done. Try again.", retry_after_s=RETRY_AFTER_S)


def _has_body(headers: Any) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _environ(scope: Any, body: bytes) -> Environ:
    """Return the WSGI environment of a request (PEP 3333)."""
    client, _, client_port = scope.client.rpartition(":")
    server, _, server_port = scope.server.rpartition(":")
    environ: Environ = {
        **_PLAIN,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": server_port,
        "REMOTE_ADDR": client.strip("[]"),
        "REMOTE_PORT": client_port,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # else X_Project_Id would pass for the X-Project-Id that the authentication sets
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _nothing() -> None:
    return None
