"""What the table of routes promises to the gateway."""

import re

import pytest

from trove.api.handlers import databases, root, users
from trove.api.routes import GUEST_PATH, ROUTES, Route

ASK_GUESTS = {databases.__name__, root.__name__, users.__name__}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("version", ["/v1.0", ""])
def test_what_waits_for_guests_is_told_by_its_path(route: Route, version: str) -> None:
    path = f"{version}/p1" + re.sub(r"\{\w+\}", "users", route.path)
    assert bool(GUEST_PATH.match(path)) == (route.handler.__module__ in ASK_GUESTS)
