"""As much of Swift's API as clients need to read the logs that a stack published: it shows the stack's own object store."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from trove.core.errors import NotFound
from trove.objectstore.contract import ObjectStore
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

PATH = re.compile(r"/v1/AUTH_\w+/(?P<container>[^/]+)(/(?P<name>.+))?")


@contextmanager
def swift(objects: Path) -> Iterator[str]:
    """Serve what is in a directory of objects; yield the URL of the account."""

    class Handler(_Handler):
        store = FileObjectStore(objects, Signer(b"not used to read", "http://nowhere.invalid"))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/AUTH_tests"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    store: ObjectStore

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        found = PATH.fullmatch(unquote(asked.path))
        if not self.headers.get("X-Auth-Token") or found is None:
            self.send_error(401 if found else 404)
            return
        try:
            headers, body = self._read(found["container"], found["name"], parse_qs(asked.query).get("prefix", [""])[0])
        except NotFound:
            self.send_error(404)
            return
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _read(self, container: str, name: str | None, prefix: str) -> tuple[dict[str, str], bytes]:
        if name is not None:
            info = self.store.info(container, name)
            return {f"X-Object-Meta-{key}": value for key, value in info.metadata.items()}, b"".join(
                self.store.get(container, name)
            )
        # The names of the pieces of a log are in the order in which they were written; the store keeps no times.
        listed = [
            {"name": info.name, "bytes": info.size, "last_modified": datetime.fromtimestamp(number, UTC).isoformat()}
            for number, info in enumerate(sorted(self.store.list(container, prefix=prefix), key=lambda info: info.name))
        ]
        return {"Content-Type": "application/json"}, json.dumps(listed).encode()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the class above
        """Keep quiet."""


for verb in ("GET", "HEAD"):
    setattr(_Handler, f"do_{verb}", _Handler._answer)
