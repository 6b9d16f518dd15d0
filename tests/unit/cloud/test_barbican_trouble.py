"""What becomes of a request when a key manager answers badly, late, or too much."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from trove.cloud import barbican
from trove.cloud.barbican import BarbicanKeys, BarbicanSettings
from trove.cloud.contract import MOST_SECRET_BYTES, KeyToken
from trove.core.errors import CloudError, InvalidInput, TroveError, Unavailable

Answer = Callable[[BaseHTTPRequestHandler], None]
TOKEN = KeyToken(token="token-of-mine")


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Serve this answer to whatever is asked; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def read(url: str) -> TroveError:
    with pytest.raises(TroveError) as caught:
        BarbicanKeys(BarbicanSettings(url=url)).read(TOKEN, f"{url}/v1/secrets/{uuid4()}", field="container_ref")
    assert TOKEN.token not in caught.value.message
    return caught.value


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_one_that_cannot_answer_now_may_be_asked_again(status: int) -> None:
    with answering(says(status)) as url:
        error = read(url)
    assert error.retryable
    assert not isinstance(error, InvalidInput)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_it_does_not_give_is_the_callers_fault(status: int) -> None:
    with answering(says(status)) as url:
        error = read(url)
    assert isinstance(error, InvalidInput)
    assert "container_ref" in error.message


def test_it_is_followed_nowhere() -> None:
    asked: list[str] = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        says(200, b"{}")(handler)

    with answering(elsewhere) as other, answering(says(302, Location=f"{other}/v1/secrets/x")) as url:
        assert isinstance(read(url), InvalidInput)
    assert asked == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
def test_what_is_no_answer_of_a_key_managers_is_not_the_callers_fault(body: bytes) -> None:
    with answering(says(200, body)) as url:
        error = read(url)
    assert isinstance(error, CloudError)
    assert not isinstance(error, InvalidInput)


def test_more_than_a_secret_may_have_is_not_taken_in() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("/payload"):
            says(200, b"x" * (MOST_SECRET_BYTES + 1))(handler)
        else:
            says(200, json.dumps({"content_types": {"default": "application/octet-stream"}}).encode())(handler)

    with answering(answer) as url:
        error = read(url)
    assert isinstance(error, InvalidInput)
    assert str(MOST_SECRET_BYTES) in error.message


@pytest.mark.parametrize("begun", [False, True], ids=["silent", "breaks off"])
def test_one_that_does_not_go_on_is_left(monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    monkeypatch.setattr(barbican, "ANSWER_S", 0.2)
    over, ended_by_itself = threading.Event(), threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        if begun:
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"{")
        if not over.wait(20):
            ended_by_itself.set()

    with answering(hang) as url:
        error = read(url)
        over.set()
    assert isinstance(error, Unavailable)
    assert not ended_by_itself.is_set()
