"""The outermost part of the service: which app a URL belongs to, versions, health check, the choice of authentication."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from trove.api import faults, openapi
from trove.api.faults import NotAcceptable
from trove.api.filters import extensions
from trove.api.filters.faultwrapper import send
from trove.api.filters.wsgi import App, Environ, StartResponse
from trove.api.formats import negotiated
from trove.api.links import base_url
from trove.api.settings import installed
from trove.api.views.versions import version

_PREFIX = re.compile(r"/v[0-9]+(\.[0-9]+)?(/|$)")
_ACCEPTED_VERSION = re.compile(r"application/vnd\.openstack\.trove\+(?:json|xml)\s*;\s*version=([0-9.]+)")


class Loader(Protocol):
    """What PasteDeploy gives a composite factory."""

    def get_app(self, name: str, global_conf: dict[str, str] | None = None) -> App:
        """Return the app that the ini file calls `name`."""


def root_factory(loader: Loader, global_conf: dict[str, str], **local_conf: str) -> App:
    """Return the Paste composite `trove`: apps by the beginning of the path, as `/v1.0 = troveapi`, in JSON and XML."""
    apps = {path.rstrip("/"): loader.get_app(name, global_conf) for path, name in local_conf.items()}
    return negotiated(by_prefix(apps))


def by_prefix(apps: dict[str, App]) -> App:
    """Return an app that hands each request to the app of its first path segment; `""` has the root itself.

    A path without version goes to the version that the Accept header names (contract 1.2).
    """

    def root(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        head = "/" + path.lstrip("/").partition("/")[0] if path.strip("/") else ""
        if head and head in apps:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + head
            environ["PATH_INFO"] = path[len(head) :]
            return apps[head](environ, start_response)
        if not head and "" in apps:
            return apps[""](environ, start_response)
        asked = _ACCEPTED_VERSION.search(environ.get("HTTP_ACCEPT", "")) if not _PREFIX.match(path) else None
        if asked is None:
            return send(start_response, faults.reply(404, "There is nothing at this path for this method."))
        target = apps.get(f"/v{asked.group(1)}")
        if target is None:
            return send(start_response, faults.of(NotAcceptable(f"There is no version {asked.group(1)} of this API.")))
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + f"/v{asked.group(1)}"
        return target(environ, start_response)

    return root


def auth_factory(loader: Loader, global_conf: dict[str, str], **local_conf: str) -> App:
    """Return the Paste composite that picks the pipeline of the configured authentication: `keystone = …`, `basic = …`.

    What needs no authentication, `/v1.0`, `/v1.0/`, `/v1.0/openapi.json` and the extensions outside of projects, is answered
    by `public = …`.
    """
    settings = installed().settings
    for needed in (settings.auth, "public"):
        if needed not in local_conf:
            raise RuntimeError(f"api-paste.ini: the composite names no pipeline for {needed!r}.")
    app = loader.get_app(local_conf[settings.auth], global_conf)
    public = loader.get_app(local_conf["public"], global_conf)

    def versioned(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        is_public = path in {"", "/", openapi.PATH} or path == extensions.HEAD or path.startswith(f"{extensions.HEAD}/")
        return (public if is_public else app)(environ, start_response)

    return versioned


def version_factory(_global_conf: dict[str, str], **_local_conf: str) -> App:
    """Return the Paste app `version`: what anybody may read below `/v1.0`: version, OpenAPI document, extensions."""
    settings = installed().settings

    def one_version(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in {"", "/"} and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return _send_json(environ, start_response, {"version": version(base_url(environ, settings.public_endpoint))})
        if path == openapi.PATH and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return _send(environ, start_response, "200 OK", faults.JSON_TYPE, openapi.serialized())
        found = extensions.answer(environ, start_response, path)
        if found is None:
            return send(start_response, faults.reply(404, "There is nothing at this path for this method."))
        return found

    return one_version


def versions_factory(_global_conf: dict[str, str], **_local_conf: str) -> App:
    """Return the Paste app `versions`, which lists the API's versions."""
    settings = installed().settings

    def versions(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return send(start_response, faults.reply(404, "There is nothing at this path for this method."))
        return _send_json(environ, start_response, {"versions": [version(base_url(environ, settings.public_endpoint))]})

    return versions


def healthcheck_factory(_global_conf: dict[str, str], disable_file: str = "", **_local_conf: str) -> App:
    """Return the Paste app `healthcheck`: 200 while this process can read the state DB, 503 when it should get no requests.

    Creating `disable_file` takes the process out of a load balancer.
    """
    database = installed().doors.database

    def healthcheck(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"} or environ.get("PATH_INFO", "") not in {"", "/"}:
            return send(start_response, faults.reply(404, "There is nothing at this path for this method."))
        if disable_file and Path(disable_file).exists():
            return _send_text(environ, start_response, "503 Service Unavailable", "DISABLED BY FILE")
        try:
            with database.reading():
                pass
        except Exception:
            return _send_text(environ, start_response, "503 Service Unavailable", "STATE DATABASE UNAVAILABLE")
        return _send_text(environ, start_response, "200 OK", "OK")

    return healthcheck


def _send_json(environ: Environ, start_response: StartResponse, document: Any) -> list[bytes]:
    return _send(environ, start_response, "200 OK", faults.JSON_TYPE, json.dumps(document).encode())


def _send_text(environ: Environ, start_response: StartResponse, status: str, text: str) -> list[bytes]:
    return _send(environ, start_response, status, "text/plain; charset=UTF-8", text.encode())


def _send(environ: Environ, start_response: StartResponse, status: str, content_type: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
