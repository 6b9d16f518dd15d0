import json

import pytest

from trove.api import faults
from trove.api.filters import basicauth, faultwrapper, identity, request_id
from trove.core import trail
from trove.core.callers import Caller


def call(app, **environ):
    """Return status, headers and body."""
    seen = {}

    def start_response(status, headers, *_):
        seen.update(status=status, headers=headers)

    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/p1/instances", **environ}, start_response)
    return seen["status"], dict(seen["headers"]), b"".join(body)


def answering(status, content_type, body, headers=()):
    def app(_environ, start_response):
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers])
        return [body]

    return app


@pytest.mark.parametrize(
    ("status", "content_type", "body", "message"),
    [
        ("401 Unauthorized", "text/plain", b"Authentication required", "Authentication required"),
        ("403 Forbidden", "text/plain; charset=UTF-8", b"403 Forbidden\n\nAccess was denied.  \n", "Access was denied."),
        ("401 Unauthorized", "application/json", b'{"error": {"code": 401, "message": "no token"}}', "no token"),
        ("404 Not Found", "text/html", b"<html>secret path</html>", "Not Found"),
        ("503 Service Unavailable", "application/json", b"[]", "Service Unavailable"),
        ("400 Bad Request", "text/plain", b"\xff", "\ufffd"),
    ],
)
def test_foreign_errors_get_the_contracts_shape(status, content_type, body, message):
    app = faultwrapper.wrap(answering(status, content_type, body, [("WWW-Authenticate", "Keystone uri='x'")]))
    shown, headers, text = call(app)
    code = int(status[:3])
    assert shown == status
    assert json.loads(text) == {faults.KEYS[code]: {"code": code, "message": message}}
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(text))
    assert headers["WWW-Authenticate"] == "Keystone uri='x'"


def test_what_is_right_passes_untouched():
    own = faults.reply(404, "gone").body
    assert call(faultwrapper.wrap(answering("404 Not Found", "application/json", own)))[2] == own
    assert call(faultwrapper.wrap(answering("200 OK", "text/plain", b"fine")))[2] == b"fine"


def test_a_filter_that_breaks_is_a_fault_with_a_reference(caplog):
    def broken(_environ, _start_response):
        raise RuntimeError("inner matter")

    status, _, body = call(faultwrapper.wrap(broken))
    assert status == "500 Internal Server Error"
    assert b"inner matter" not in body
    assert "inner matter" in caplog.text


def test_request_ids_are_made_and_a_global_one_is_kept():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return []

    given = "req-11111111-2222-4333-8444-555555555555"
    headers = call(request_id.wrap(app), HTTP_X_OPENSTACK_REQUEST_ID=given)[1]
    assert headers["X-Openstack-Request-Id"] == seen["openstack.request_id"] != given
    assert seen["openstack.global_request_id"] == given
    seen.clear()
    call(request_id.wrap(app), HTTP_X_OPENSTACK_REQUEST_ID="forged\nid")
    assert "openstack.global_request_id" not in seen


def test_log_lines_of_a_request_carry_its_id_also_when_it_fails():
    seen = []

    def app(environ, start_response):
        seen.append((environ["openstack.request_id"], trail.REQUEST_ID.get()))
        if len(seen) > 1:
            raise RuntimeError
        start_response("200 OK", [])
        return []

    call(request_id.wrap(app))
    assert trail.REQUEST_ID.get() is None
    with pytest.raises(RuntimeError):
        call(request_id.wrap(app))
    assert trail.REQUEST_ID.get() is None
    (first, logged), (second, logged_too) = seen
    assert (first, second) == (logged, logged_too)
    assert first != second


PROVEN = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_PROJECT_ID": "p1",
    "HTTP_X_USER_ID": "u1",
    "HTTP_X_ROLES": "a, b ,,c",
    identity.KEYSTONE: object(),
}


class Everybody:
    def is_admin(self, roles):
        return "c" in roles


def showing_caller(environ, start_response):
    start_response("200 OK", [])
    return [repr(environ[identity.CALLER]).encode()]


def test_the_caller_is_made_of_what_was_proven():
    app = identity.authorize(identity.with_caller(showing_caller, Everybody()))
    body = call(app, **PROVEN, **{"openstack.request_id": "req-1"})[2]
    caller = Caller(project_id="p1", user_id="u1", request_id="req-1", roles=("a", "b", "c"), is_admin=True)
    assert body == repr(caller).encode()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"HTTP_X_IDENTITY_STATUS": "Invalid"}, "401"),
        ({identity.KEYSTONE: None}, "401"),
        ({"HTTP_X_USER_ID": ""}, "401"),
        ({"HTTP_X_PROJECT_ID": ""}, "403"),
        ({"HTTP_X_PROJECT_ID": "p2"}, "403"),
        ({"PATH_INFO": ""}, "403"),
        ({"PATH_INFO": "/p1x/instances"}, "403"),
    ],
)
def test_nothing_is_taken_on_trust(change, status):
    environ = {key: value for key, value in {**PROVEN, **change}.items() if value is not None}
    assert call(identity.authorize(showing_caller), **environ)[0].startswith(status)


def test_the_context_needs_the_authorization_before_it():
    assert call(identity.with_caller(showing_caller, Everybody()), **PROVEN)[0].startswith("401")


def test_waiting_grows_and_ends_with_success(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(basicauth.time, "monotonic", lambda: now[0])
    throttle, who = basicauth.Throttle(), ("kim", "::1")
    waits = []
    for _ in range(12):
        throttle.failed(who)
        waits.append(throttle.wait_s(who))
    assert waits[:6] == [0, 0, 0, 1, 2, 4]
    assert waits[-1] == basicauth.LONGEST_WAIT_S
    assert throttle.wait_s(("kim", "::2")) == 0
    now[0] += basicauth.LONGEST_WAIT_S
    assert throttle.wait_s(who) == 0
    throttle.succeeded(who)
    throttle.failed(who)
    assert throttle.wait_s(who) == 0


def test_the_memory_of_failures_is_bounded(monkeypatch):
    monkeypatch.setattr(basicauth, "MAX_REMEMBERED", 3)
    throttle = basicauth.Throttle()
    for number in range(10):
        throttle.failed((str(number), ""))
    assert len(throttle._failures) == 3
