"""The innermost WSGI app, which answers below `/v1.0`, and its Paste factory.

`trove.cmd.api` calls `install(doors, settings)` and then lets PasteDeploy load `api-paste.ini`; `load` does both.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import falcon
import orjson
from paste.deploy import loadapp

from trove.api import bodies, faults, formats, query
from trove.api.filters.identity import CALLER, POLICY
from trove.api.filters.wsgi import App
from trove.api.flavor_list import FlavorList
from trove.api.links import Links, base_url
from trove.api.request import Request
from trove.api.routes import ROUTES, Route
from trove.api.schemas.validation import Validator
from trove.api.settings import ApiSettings, install, installed
from trove.core.errors import InvalidInput, NotFound
from trove.operations.doors import Doors, OperationAnnouncer

__all__ = ["ApiSettings", "app_factory", "build_app", "install", "load"]

OPERATION_ID = "X-Trove-Operation-Id"
"""Header of an answer: the operation that the request started, several with commas."""

Responder = Callable[..., None]
_STATUS_LINES = {code: f"{code} {HTTPStatus(code).phrase}" for code in (200, 202, 204)}


def app_factory(_global_conf: dict[str, str], **_local_conf: str) -> App:
    """Return the Paste app `troveapp`. Raises RuntimeError before `install` was called."""
    found = installed()
    return build_app(found.doors, found.settings)


def load(doors: Doors, settings: ApiSettings, paste_file: Path, *, name: str = "trove") -> App:
    """Return the whole service as `paste_file` describes it, from versions and health check to the app."""
    install(doors, settings)
    return cast("App", loadapp(f"config:{paste_file.resolve()}", name=name))


def build_app(doors: Doors, settings: ApiSettings) -> App:
    """Return the app without the pipeline around it: it expects the caller and the policy in the environment."""
    flavors = FlavorList(doors.cloud)
    app = falcon.App(media_type=faults.JSON_TYPE)
    by_path: defaultdict[str, SimpleNamespace] = defaultdict(lambda: SimpleNamespace(on_options=_nothing_here))
    for route in ROUTES:
        setattr(by_path[route.path], f"on_{route.method.lower()}", _responder(route, doors, settings, flavors))
    for path, resource in by_path.items():
        app.add_route(f"/{{project_id}}{path}", resource)
    app.add_error_handler(Exception, _answer_fault)
    app.add_error_handler(falcon.HTTPError, _answer_fault)  # else Falcon's own handler, being nearer, would answer
    return cast("App", app)


class _Noted:
    """Announces operations and remembers them: they are what the request started."""

    def __init__(self, announcer: OperationAnnouncer) -> None:
        self._announcer = announcer
        self.ids: list[str] = []

    def announce(self, operation_id: str) -> None:
        self.ids.append(operation_id)
        self._announcer.announce(operation_id)


def _responder(route: Route, doors: Doors, settings: ApiSettings, flavors: FlavorList) -> Responder:
    validator = Validator(route.schema) if route.schema is not None else None
    query_validator = Validator(route.query) if route.query is not None else None
    status = _STATUS_LINES[route.status]

    def respond(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        _check_path(path)
        if "" in path.values():  # a slash at the end, or two in a row
            raise _nowhere()
        environ = req.env
        caller, policy = environ[CALLER], environ[POLICY]
        if route.rule is not None:
            policy.enforce(route.rule, caller)
        parameters = query.parse(req.query_string)
        if parameters and query_validator is not None:
            query_validator.check_query(parameters)
        path_of_page = req.path + environ.get(formats.SUFFIX, "")
        links = Links(base_url(environ, settings.public_endpoint), caller.project_id, path_of_page, parameters)
        announcer = _Noted(doors.announcer)
        request = Request(
            doors=replace(doors, announcer=announcer),
            settings=settings,
            flavors=flavors,
            caller=caller,
            policy=policy,
            path=path,
            query=parameters,
            links=links,
            environ=environ,
            body=_body(route, validator, environ, settings) if validator else None,
        )
        answer = route.handler(request)
        resp.status = status
        if answer is not None:
            resp.data = orjson.dumps(answer)
            if formats.SCHEMA in environ:
                environ[formats.SCHEMA] = route.answer
        if route.status != HTTPStatus.NO_CONTENT:
            resp.content_type = faults.JSON_TYPE
        if announcer.ids:
            resp.set_header(OPERATION_ID, ", ".join(announcer.ids))
            if route.status == HTTPStatus.ACCEPTED:
                resp.set_header("Location", links.to("operations", announcer.ids[0]))

    return respond


def _check_path(path: Mapping[str, str]) -> None:
    """Raise `NotFound` for a NUL, which no name has, and for which PostgreSQL would not even look."""
    if any("\x00" in text for text in path.values()):
        raise NotFound("There is nothing at this path for this method.")


def _body(route: Route, validator: Validator, environ: dict[str, Any], settings: ApiSettings) -> Any:
    body = bodies.read(environ, max_bytes=settings.max_body_bytes, schema=validator.schema)
    if body is None:
        if route.optional:
            return None
        raise InvalidInput("The request needs a body in JSON or XML.")
    validator.check(body)
    return body


def _nothing_here(_req: falcon.Request, _resp: falcon.Response, **_path: str) -> None:
    raise _nowhere()


def _nowhere() -> NotFound:
    return NotFound("There is nothing at this path for this method.")


def _answer_fault(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
    if isinstance(error, falcon.HTTPBadRequest) and req.method not in falcon.COMBINED_METHODS:
        error = _nowhere()  # Falcon holds a method that it does not know for a bad request
    reply = faults.of(error)
    resp.status = reply.status_line
    resp.content_type = faults.JSON_TYPE
    resp.data = reply.body
    for name, value in reply.headers.items():
        resp.set_header(name, value)
