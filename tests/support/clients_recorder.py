"""Stands between clients and the API, and writes down which route every call of a client hit and what it was answered."""

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trove.api.routes import ROUTES

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}

Seen = dict[str, dict[str, list[str]]]
"""client → call → sorted `METHOD /route status`, each once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One request of a client and its answer. `path` is what follows the project, without the query."""

    client: str
    call: str
    method: str
    path: str
    query: str
    sent: Any
    status: int
    answer: Any


@dataclass
class Recorder:
    """What was seen since `reset`; `act` says who acts while its block runs."""

    exchanges: list[Exchange] = field(default_factory=list)
    calls: set[tuple[str, str]] = field(default_factory=set)
    _actor: tuple[str, str] | None = None

    def reset(self) -> None:
        """Forget everything."""
        self.exchanges.clear()
        self.calls.clear()

    @contextmanager
    def act(self, client: str, call: str) -> Iterator[None]:
        """Put down everything that arrives inside to this call of this client."""
        before, self._actor = self._actor, (client, call)
        self.calls.add((client, call))
        try:
            yield
        finally:
            self._actor = before

    def note(self, method: str, target: str, sent: bytes, status: int, answer: bytes) -> None:
        """Write one exchange down, unless nobody acts."""
        if self._actor is None:
            return
        client, call = self._actor
        whole, _, query = target.partition("?")
        path = re.sub(r"^/v1\.0/[^/]+", "", whole) if re.match(r"^/v1\.0/[^/]+/.", whole) else whole
        self.exchanges.append(
            Exchange(
                client=client,
                call=call,
                method=method,
                path=path,
                query=query,
                sent=_decoded(sent),
                status=status,
                answer=_decoded(answer),
            )
        )

    def seen(self) -> Seen:
        """Return what every call hit, in the form of doc/clients.json; a call that sent nothing has an empty list."""
        found: dict[str, dict[str, set[str]]] = {}
        for client, call in self.calls:
            found.setdefault(client, {}).setdefault(call, set())
        for one in self.exchanges:
            found[one.client][one.call].add(f"{one.method} {route(one.method, one.path)} {one.status}")
        return {client: {call: sorted(hits) for call, hits in sorted(calls.items())} for client, calls in sorted(found.items())}

    def last(self, method: str) -> Exchange:
        """Return the latest exchange with that method."""
        return next(one for one in reversed(self.exchanges) if one.method == method)


def route(method: str, path: str) -> str:
    """Return the path of the route that a request hit; of one that hits none the path with `{id}` for every id."""
    exact = sorted((known.path for known in ROUTES if known.method == method), key=lambda known: (known.count("{"), known))
    for known in exact:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
            return known
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=/mgmt/quotas/)[0-9a-f]{32}", "{id}", path)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")


@contextmanager
def recording(recorder: Recorder, *, port: int, towards: int) -> Iterator[None]:
    """Serve on `port` of loopback, pass all on to port `towards`, and record it."""

    class Handler(_Handler):
        pass

    Handler.recorder, Handler.towards = recorder, towards
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorder: Recorder
    towards: int

    def _pass_on(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.towards, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body=sent or None, headers=headers | _length(self.headers, sent))
            reply = connection.getresponse()
            answer = reply.read()
            headers = dict(reply.getheaders())
        finally:
            connection.close()
        # Before the client can see the answer and go on to its next call.
        self.recorder.note(self.command, self.path, sent, reply.status, answer)
        self.send_response_only(reply.status, reply.reason)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the class above
        """Keep quiet."""


for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{verb}", _Handler._pass_on)


def _length(headers: Mapping[str, str], sent: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(sent))} if "Content-Length" in headers else {}
