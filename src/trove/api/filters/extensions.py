"""Serves the list of extensions (contract 3): what this API has beyond its first version, for clients that ask."""

import json
from collections.abc import Iterable

from trove.api import faults
from trove.api.filters.faultwrapper import send
from trove.api.filters.wsgi import App, Environ, Filter, StartResponse
from trove.core.json import JSON

HEAD = "/extensions"


def _extension(alias: str, name: str, updated: str, description: str) -> dict[str, JSON]:
    return {
        "name": name,
        "alias": alias,
        "description": description,
        "namespace": f"urn:openstack:database:extension:{alias.lower()}",
        "updated": updated,
        "links": [],
    }


EXTENSIONS: tuple[dict[str, JSON], ...] = (
    _extension(
        "Account", "Account", "2012-01-19T00:00:00Z", "Accounts of tenants with their instances, for operators of the service."
    ),
    _extension(
        "Mgmt", "Mgmt", "2011-08-08T00:00:00Z", "Management of instances, quotas and datastore versions by the operators."
    ),
    _extension("MYSQL", "Mysql", "2011-01-22T00:00:00Z", "Databases, users, their rights, and root inside an instance."),
    _extension("OPERATIONS", "Operations", "2026-11-01T00:00:00Z", "Following and cancelling what a request has started."),
    _extension("SecurityGroup", "SecurityGroup", "2012-02-26T17:25:27Z", "Security groups of instances and their rules."),
)


def answer(environ: Environ, start_response: StartResponse, path: str) -> list[bytes] | None:
    """Answer a request for `path` when it is `/extensions` or `/extensions/{alias}`; return None when it is neither."""
    if path != HEAD and not path.startswith(f"{HEAD}/"):
        return None
    alias = path[len(HEAD) + 1 :]
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"} or (path != HEAD and (not alias or "/" in alias)):
        return send(start_response, faults.reply(404, "There is nothing at this path for this method."))
    if path == HEAD:
        document: dict[str, JSON] = {"extensions": list(EXTENSIONS)}
    else:
        found = next((each for each in EXTENSIONS if each["alias"] == alias), None)
        if found is None:
            return send(start_response, faults.reply(404, f"Extension {alias[:100]} not found."))
        document = {"extension": found}
    body = json.dumps(document).encode()
    start_response("200 OK", [("Content-Type", faults.JSON_TYPE), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `extensions`, which serves them below a project."""
    return wrap


def wrap(app: App) -> App:
    """Return `app` with `/{project}/extensions`."""

    def extensions(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        below = path.find("/", 1)
        found = answer(environ, start_response, path[below:]) if below > 0 and path.startswith(HEAD, below) else None
        return found if found is not None else app(environ, start_response)

    return extensions
