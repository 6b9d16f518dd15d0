"""Turns what fails outside the app, or answers in plain text, into the contract's JSON error (contract 1.3)."""

import json
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from trove.api import faults
from trove.api.filters.wsgi import App, Environ, Filter, Headers, StartResponse, header

LONGEST_MESSAGE = 500

_OUR_KEYS = tuple(key.encode() for key in faults.KEYS.values())
_REPLACED = frozenset({"content-type", "content-length"})


def send(start_response: StartResponse, reply: faults.Reply, headers: Headers | None = None) -> list[bytes]:
    """Answer with `reply`."""
    sent = [(key, value) for key, value in headers or () if key.lower() not in _REPLACED]
    sent += [("Content-Type", faults.JSON_TYPE), ("Content-Length", str(len(reply.body))), *reply.headers.items()]
    start_response(reply.status_line, sent)
    return [reply.body]


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `faultwrapper`."""
    return wrap


def wrap(app: App) -> App:
    """Return `app` with its faults in the contract's shape."""

    def faultwrapper(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        faulty: list[tuple[str, Headers]] = []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            if status[0] in "45":
                faulty.append((status, headers))
                return _ignore
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        try:
            body = app(environ, start)
        except Exception as error:
            return send(start_response, faults.of(error))
        if not faulty:
            return body
        status, headers = faulty[-1]
        text = _read(body)
        if environ["REQUEST_METHOD"] == "HEAD" or _is_ours(headers, text):
            start_response(status, headers)
            return [text]
        code = int(status[:3])
        return send(start_response, faults.reply(code, _message(code, headers, text)), headers)

    return faultwrapper


def _ignore(_data: bytes) -> None:
    return None


def _read(body: Iterable[bytes]) -> bytes:
    try:
        return b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close:
            close()


def _is_ours(headers: Headers, text: bytes) -> bool:
    return _is_json(headers) and any(text.startswith(b'{"%s": {"code": ' % key) for key in _OUR_KEYS)


def _is_json(headers: Headers) -> bool:
    return (header(headers, "content-type") or "").startswith(faults.JSON_TYPE)


def _message(code: int, headers: Headers, body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    if _is_json(headers):
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(text)["error"]["message"])[:LONGEST_MESSAGE]  # as keystonemiddleware has it
    plain = (header(headers, "content-type") or "").startswith("text/plain")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST_MESSAGE] if plain and lines else HTTPStatus(code).phrase
