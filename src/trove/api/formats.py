"""The format of an answer, chosen in one place for resources and faults alike: JSON, or XML where the client prefers it.

Everything inside answers JSON. The client prefers XML by its Accept header, or by `.xml` behind the path (contract 1.1, 1.2).
What it accepts beside these two makes no difference: it gets JSON.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import falcon
from falcon.util import mediatypes

from trove.api import xml
from trove.api.faults import JSON_TYPE, Reply
from trove.api.filters.wsgi import App, Environ, Headers, StartResponse, header
from trove.api.routes import ROUTES, Route
from trove.api.schemas.faults import FAULT
from trove.api.schemas.scalars import UUID_PATTERN

XML_TYPE = "application/xml"
JSON_TYPES = frozenset({JSON_TYPE, "application/vnd.openstack.trove+json"})
XML_TYPES = frozenset({XML_TYPE, "text/xml", "application/vnd.openstack.trove+xml"})

SCHEMA = "trove.answer_schema"
"""In the environment where XML is wanted; the app leaves its answer's schema there."""
SUFFIX = "trove.path_suffix"
"""In the environment: `.json` or `.xml` when the path had it. Links to further pages have it again."""

_OFFERED = (JSON_TYPE, *sorted(JSON_TYPES - {JSON_TYPE}), *sorted(XML_TYPES))
_VERSION = re.compile(r";\s*version=[0-9.]+")
_ALWAYS_JSON = "/openapi.json"


def negotiated(app: App) -> App:
    """Return `app`, answering XML to those who prefer it."""

    def formats(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not _wants_xml(environ):
            return app(environ, start_response)
        environ[SCHEMA] = None
        started: list[tuple[str, Headers]] = []

        def start(status: str, headers: Headers, _exc_info: Any = None) -> Any:
            started.append((status, headers))
            return written.append

        written: list[bytes] = []
        chunks = app(environ, start)
        try:
            written.extend(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        status, headers = started[-1]
        body = b"".join(written)
        if (header(headers, "content-type") or "").partition(";")[0] == JSON_TYPE:
            schema = FAULT if status[0] in "45" else environ[SCHEMA]
            body = xml.write(json.loads(body), schema) if body else body
            headers = [(name, value) for name, value in headers if name.lower() not in {"content-type", "content-length"}]
            headers += [("Content-Type", XML_TYPE), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    return formats


def fault(reply: Reply, accept: str) -> tuple[str, bytes]:
    """Return the media type and the body of a fault that no app is there to answer with."""
    if prefers_xml(accept):
        return XML_TYPE, xml.write(json.loads(reply.body), FAULT)
    return JSON_TYPE, reply.body


def _wants_xml(environ: Environ) -> bool:
    """Tell whether XML is wanted; take the suffix off the path."""
    path: str = environ.get("PATH_INFO", "")
    if path.endswith((".json", ".xml")):
        if path.endswith(_ALWAYS_JSON):
            return False
        if _SUFFIXED.fullmatch(path):
            path, dot, suffix = path.rpartition(".")
            environ["PATH_INFO"], environ[SUFFIX] = path, dot + suffix
            return suffix == "xml"
    return prefers_xml(environ.get("HTTP_ACCEPT", ""))


def prefers_xml(accept: str) -> bool:
    """Tell whether a client that sends this Accept header gets XML."""
    if "xml" not in accept:
        return False
    try:
        preferred: str = mediatypes.best_match(_OFFERED, _VERSION.sub("", accept))
    except (ValueError, falcon.HTTPError):
        return False
    return preferred in XML_TYPES


def _suffix_pattern(routes: Sequence[Route]) -> re.Pattern[str]:
    ending = UUID_PATTERN.strip("^$") + "|[0-9]+"
    forms = set()
    for path in {route.path for route in routes}:
        head, _, last = path.rpartition("/")
        if last.startswith("{"):
            if not last.endswith("_id}"):
                continue
            last = f"({ending})"
        forms.add(re.sub(r"\{\w+\}", "[^/]+", head) + "/" + last)
    return re.compile(rf"(/v1\.0)?/[^/]+({'|'.join(sorted(forms))})\.(json|xml)")


_SUFFIXED = _suffix_pattern(ROUTES)
"""Matches the paths where a suffix is one, and not a part of the name of a user, a database or a parameter."""
