"""RabbitMQ's management HTTP API: the few calls that admit and expel guests.

https://www.rabbitmq.com/docs/http-api-reference
"""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from trove.core.errors import InvalidInput, Unavailable
from trove.core.json import JSON

_TIMEOUT_S = 15.0


class ManagementApi:
    """A client of a broker's management API, as the administrator named in the URL: `http(s)://user:password@host:port`.

    The nodes of a cluster follow the first with commas, `…@host:port,host:port`. The one that answered last is asked first.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        # A login before each host, as in a transport URL, does no harm: that of the first counts.
        nodes = [urlsplit(f"//{node}") for node in parts.netloc.split(",")]
        user = nodes[0].username
        hosts = [node.hostname for node in nodes if node.hostname]
        if parts.scheme not in ("http", "https") or user is None or len(hosts) < len(nodes):
            raise InvalidInput("management_url: needs the form http(s)://user:password@host:port[,host:port…]")
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        try:
            ports = [node.port or (15671 if self._tls else 15672) for node in nodes]
        except ValueError:
            raise InvalidInput("management_url: a port must be a number from 0 to 65535") from None
        self._nodes = list(zip(hosts, ports, strict=True))
        self._prefix = parts.path.rstrip("/")
        secret = f"{unquote(user)}:{unquote(nodes[0].password or '')}".encode()
        self._authorization = "Basic " + base64.b64encode(secret).decode()

    def __repr__(self) -> str:
        return f"ManagementApi({', '.join(f'{host}:{port}' for host, port in self._nodes)})"

    def get(self, path: str) -> JSON:
        """Read a resource; None when it does not exist. Raises `Unavailable`."""
        return self._request("GET", path, None)

    def put(self, path: str, body: Mapping[str, JSON]) -> None:
        """Create or replace a resource. May run twice."""
        self._request("PUT", path, body)

    def delete(self, path: str) -> None:
        """Delete a resource; its absence is no error."""
        self._request("DELETE", path, None)

    def _request(self, method: str, path: str, body: Mapping[str, JSON] | None) -> JSON:
        status, text = self._answer(method, path, body)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise Unavailable(f"RabbitMQ's management API refused {method} {path}: {status}")
        result: JSON = json.loads(text) if text else None
        return result

    def _answer(self, method: str, path: str, body: Mapping[str, JSON] | None) -> tuple[int, bytes]:
        """Return status and body of the first node that answers. All requests may run twice, so may one that got lost."""
        trouble: Exception | None = None
        for node in list(self._nodes):
            try:
                found = self._asked(node, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                trouble = error
                continue
            if self._nodes[0] != node:
                self._nodes = [node, *(other for other in self._nodes if other != node)]
            return found
        raise Unavailable(f"RabbitMQ's management API does not answer ({type(trouble).__name__})") from trouble

    def _asked(self, node: tuple[str, int], method: str, path: str, body: Mapping[str, JSON] | None) -> tuple[int, bytes]:
        host, port = node
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        )
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        try:
            connection.request(method, self._prefix + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")
