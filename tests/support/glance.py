"""A stand-in for Glance: what registering images takes of its API, and failures on demand. tests/openstack has the real one."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import openstack


@dataclass
class Glance:
    """The images it holds, by id, and what was done to them."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    fail_upload_of: str = ""
    """Uploads of images with this name end with a server error, in their middle."""
    url: str = ""

    def connection(self) -> Any:
        """Return an openstacksdk connection to it."""
        return openstack.connection.Connection(
            auth_type="none", auth={"endpoint": self.url}, image_endpoint_override=f"{self.url}/v2/", image_api_version="2"
        )

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the images with a name."""
        return [image for image in self.images.values() if image["name"] == name]


class _Handler(BaseHTTPRequestHandler):
    glance: Glance
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = self._parts()
        if parts == ["v2"] or not parts:
            version = {"id": "v2.16", "status": "CURRENT", "links": [{"rel": "self", "href": f"{self.glance.url}/v2/"}]}
            return self._answer(200 if parts else 300, {"versions": [version]})
        if parts == ["v2", "images"]:
            wanted = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            found = [each for each in self.glance.images.values() if wanted.get("name") in {None, each["name"]}]
            return self._answer(200, {"images": found})
        found = self.glance.images.get(parts[2])
        return self._answer(200 if found else 404, found or {})

    def do_POST(self) -> None:
        image = {"id": str(uuid4()), "status": "queued", "size": None, **json.loads(self._body())}
        self.glance.images[image["id"]] = image
        self.glance.changes.append(f"create {image['name']}")
        self._answer(201, image)

    def do_PUT(self) -> None:
        parts, body = self._parts(), self._body()
        image = self.glance.images[parts[2]]
        if parts[3] == "tags":
            image["tags"].append(parts[4])
            self.glance.changes.append(f"tag {image['name']}")
            return self._answer(204, None)
        image["status"] = "saving"
        if image["name"] == self.glance.fail_upload_of:
            return self._answer(500, {})
        self.glance.contents[image["id"]] = body
        image |= {"status": "active", "size": len(body)}
        self.glance.changes.append(f"upload {image['name']}")
        return self._answer(204, None)

    def do_PATCH(self) -> None:
        image = self.glance.images[self._parts()[2]]
        for change in json.loads(self._body()):
            name = change["path"].removeprefix("/")
            assert change["op"] == ("replace" if name in image else "add")
            image[name] = change["value"]
        self.glance.changes.append(f"change {image['name']}")
        self._answer(200, image)

    def do_DELETE(self) -> None:
        gone = self.glance.images.pop(self._parts()[2], None)
        self.glance.changes.append(f"delete {gone['name'] if gone else None}")
        self._answer(204 if gone else 404, None)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _parts(self) -> list[str]:
        return [part for part in urlsplit(self.path).path.split("/") if part]

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        read = b""
        while size := int(self.rfile.readline(), 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def _answer(self, status: int, body: Any) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def running() -> Iterator[Glance]:
    """Run one on the loopback."""
    glance = Glance()
    handler = type("Handler", (_Handler,), {"glance": glance})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        glance.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield glance
        finally:
            server.shutdown()
            thread.join()
