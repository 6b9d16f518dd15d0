"""Logs requests and their answers, for an operator who looks for a fault; in no pipeline until somebody puts it there.

Bodies are logged as their shape only: any text in them may be a password. Credentials in headers and queries are left out.
"""

import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from trove.api.filters.wsgi import App, Environ, Filter, Headers, StartResponse, header
from trove.api.settings import installed

LOG = logging.getLogger(__name__)

_SECRET = re.compile(r"auth|token|cookie|secret|passw|hmac|signature|credential|key|catalog", re.IGNORECASE)
_DEEPEST = 4
_LONGEST = 20


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `debug`. It logs at level INFO."""
    max_body_bytes = installed().settings.max_body_bytes

    def bound(app: App) -> App:
        return wrap(app, max_body_bytes)

    return bound


def wrap(app: App, max_body_bytes: int) -> App:
    """Return `app` with its requests and answers logged. Bodies beyond `max_body_bytes` are not looked into."""

    def debug(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.monotonic()
        started: list[tuple[str, Headers]] = []

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            started.append((status, headers))
            return start_response(status, headers, *exc_info)

        LOG.info("Request %s", _request(environ, max_body_bytes))
        body = app(environ, start)
        return _watched(body, began, started)

    return debug


def _watched(body: Iterable[bytes], began: float, started: list[tuple[str, Headers]]) -> Iterator[bytes]:
    parts: list[bytes] = []
    try:
        for part in body:
            parts.append(part)
            yield part
    finally:
        close = getattr(body, "close", None)
        if close:
            close()
        status, headers = started[-1] if started else ("no status", [])
        shown = {name: _shown(name, value) for name, value in headers}
        is_json = "json" in (header(headers, "content-type") or "")
        LOG.info(
            "Answer %r after %.1f ms, headers %r, body %s",
            status,
            (time.monotonic() - began) * 1000,
            shown,
            _body(b"".join(parts), is_json=is_json),
        )


def _request(environ: Environ, max_body_bytes: int) -> str:
    headers = {name[5:].replace("_", "-").title(): value for name, value in environ.items() if name.startswith("HTTP_")}
    shown = {name: _shown(name, value) for name, value in sorted(headers.items())}
    query = {name: _shown(name, value) for name, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)}
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    body = _read(environ, max_body_bytes)
    told = "not looked into" if body is None else _body(body, is_json="json" in environ.get("CONTENT_TYPE", ""))
    sender = environ.get("REMOTE_ADDR", "")
    return f"{environ['REQUEST_METHOD']} {path!r} from {sender!r}, query {query!r}, headers {shown!r}, body {told}"


def _read(environ: Environ, max_body_bytes: int) -> bytes | None:
    """Return the body and put it back for the app; None when its length is unknown or too large."""
    length = environ.get("CONTENT_LENGTH") or ("" if "HTTP_TRANSFER_ENCODING" in environ else "0")
    if not length.isdecimal() or int(length) > max_body_bytes:
        return None
    body: bytes = environ["wsgi.input"].read(int(length)) if int(length) else b""
    environ["wsgi.input"] = BytesIO(body)
    return body


def _shown(name: str, value: object) -> str:
    return "***" if _SECRET.search(name) else str(value)[:200]


def _body(content: bytes, *, is_json: bool) -> str:
    if not content:
        return "empty"
    if is_json:
        try:
            return f"of {len(content)} bytes: {json.dumps(_shape(json.loads(content)))}"
        except (ValueError, RecursionError):
            return f"of {len(content)} bytes, not JSON"
    return f"of {len(content)} bytes"


def _shape(value: object, depth: int = 0) -> object:
    """Return `value` with every text, number and the like replaced by the name of its type."""
    if isinstance(value, dict):
        if depth == _DEEPEST:
            return "object"
        return {str(key)[:100]: _shape(each, depth + 1) for key, each in list(value.items())[:_LONGEST]}
    if isinstance(value, list):
        return "array" if depth == _DEEPEST else [_shape(each, depth + 1) for each in value[:_LONGEST]]
    return "null" if value is None else type(value).__name__
