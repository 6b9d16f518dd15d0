import inspect
import json

import falcon
import pytest

from trove.api import faults
from trove.core import errors

FOR_OTHERS = {errors.TroveError, errors.Fenced}


def test_every_error_of_the_tree_has_a_status():
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TroveError)}
    for kind in kinds - FOR_OTHERS:
        reply = faults.of(kind("what was wrong"))
        (fault,) = json.loads(reply.body).values()
        assert fault == {"code": reply.code, "message": "what was wrong"}


@pytest.mark.parametrize("kind", [*FOR_OTHERS, ValueError, KeyError])
def test_what_is_not_meant_for_clients_hides_behind_a_reference(kind, caplog):
    reply = faults.of(kind("inner matter"))
    assert reply.code == 500
    assert b"inner matter" not in reply.body
    assert "inner matter" in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "key"),
    [
        (errors.GuestTimeout("x"), 503, "serviceUnavailable"),
        (falcon.HTTPMethodNotAllowed(["GET"]), 404, "itemNotFound"),
        (falcon.HTTPRouteNotFound(), 404, "itemNotFound"),
        (falcon.HTTPBadRequest(), 400, "badRequest"),
        (errors.NotFound(""), 404, "itemNotFound"),
    ],
)
def test_keys(error, code, key):
    reply = faults.of(error)
    assert reply.code == code
    assert list(json.loads(reply.body)) == [key]
    assert json.loads(reply.body)[key]["message"]
