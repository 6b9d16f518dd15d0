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
    """A client of one broker's management API, as the administrator named in the URL (`http(s)://user:password@host:port`)."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None or parts.username is None:
            raise InvalidInput("management_url: needs the form http(s)://user:password@host:port")
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port or (15671 if self._tls else 15672)
        self._prefix = parts.path.rstrip("/")
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        self._authorization = "Basic " + base64.b64encode(secret).decode()

    def __repr__(self) -> str:
        return f"ManagementApi({self._host}:{self._port})"

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
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        )
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        try:
            connection.request(method, self._prefix + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"RabbitMQ's management API does not answer ({type(error).__name__})") from error
        finally:
            connection.close()
        if response.status == http.HTTPStatus.NOT_FOUND:
            return None
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise Unavailable(f"RabbitMQ's management API refused {method} {path}: {response.status}")
        result: JSON = json.loads(text) if text else None
        return result


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")
