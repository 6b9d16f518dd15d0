"""The OpenAPI document is valid and says of each route what the route says of itself."""

import json
import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from trove.api import openapi
from trove.api.routes import ROUTES

DOCUMENT = json.loads(openapi.serialized())


def test_the_document_is_valid_openapi():
    errors = [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
    assert errors == []


def operations():
    for path, below in DOCUMENT["paths"].items():
        for method, operation in below.items():
            if method != "parameters":
                yield path, method, operation


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_every_placeholder_is_described():
    for path, below in DOCUMENT["paths"].items():
        assert [each["name"] for each in below.get("parameters", [])] == re.findall(r"\{(\w+)\}", path)


def test_every_schema_is_one_of_2020_12():
    for path, method, operation in operations():
        contents = [reply.get("content", {}) for reply in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for content in contents:
            for media in content.values():
                Draft202012Validator.check_schema(media["schema"]), (path, method)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_it(route):
    operation = DOCUMENT["paths"][f"/v1.0/{{project_id}}{route.path}"][route.method.lower()]
    assert operation["summary"]
    assert ("requestBody" in operation) == (route.schema is not None)
    if not openapi.always_refuses(route):
        assert ("content" in operation["responses"][str(route.status)]) == (route.answer is not None)


def test_bounds_are_said_in_the_words_of_the_newer_dialect():
    old = {"properties": {"a": {"minimum": 0, "exclusiveMinimum": True}, "b": {"maximum": 1, "exclusiveMaximum": False}}}
    assert openapi.modern(old) == {"properties": {"a": {"exclusiveMinimum": 0}, "b": {"maximum": 1}}}
