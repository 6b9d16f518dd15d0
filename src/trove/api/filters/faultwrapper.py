"""Turns what fails outside the app, or answers in plain text, into the contract's JSON error (contract 1.3)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from trove.api import faults
from trove.api.filters.wsgi import App, Environ, Filter, Headers, StartResponse, header

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
        foreign: list[tuple[int, Headers]] = []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            if status[0] in "45" and not (header(headers, "content-type") or "").startswith(faults.JSON_TYPE):
                foreign.append((int(status[:3]), headers))
                return _ignore
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        try:
            body = app(environ, start)
        except Exception as error:
            return send(start_response, faults.of(error))
        if not foreign:
            return body
        code, headers = foreign[-1]
        return send(start_response, faults.reply(code, _message(code, headers, body)), headers)

    return faultwrapper


def _ignore(_data: bytes) -> None:
    return None


def _message(code: int, headers: Headers, body: Iterable[bytes]) -> str:
    try:
        text = b"".join(body).decode("utf-8", "replace").strip()
    finally:
        close = getattr(body, "close", None)
        if close:
            close()
    plain = (header(headers, "content-type") or "").startswith("text/plain")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if plain and lines else HTTPStatus(code).phrase
