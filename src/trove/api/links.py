"""Links in replies (contract 1.4, 1.6): `self` and `bookmark` of a resource, `next` of a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from trove.core.json import JSON

VERSION = "v1.0"


def base_url(environ: Mapping[str, str], public_endpoint: str | None) -> str:
    """Return what all links begin with, without a slash at its end: the public endpoint, else what the client asked for."""
    if public_endpoint:
        return public_endpoint.rstrip("/").removesuffix(f"/{VERSION}")
    prefix = environ.get("SCRIPT_NAME", "").removesuffix(f"/{VERSION}").rstrip("/")
    return f"{environ.get('wsgi.url_scheme', 'http')}://{_host(environ)}{prefix}"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the links of one request. `path` and `query` are the request's own, below the API's root."""

    base: str
    project_id: str
    path: str
    query: Mapping[str, str]

    def of(self, collection: str, resource_id: str) -> list[JSON]:
        """Return `self` and `bookmark` of a resource."""
        return [
            {"rel": "self", "href": self.to(collection, resource_id)},
            {"rel": "bookmark", "href": f"{self.base}/{collection}/{resource_id}"},
        ]

    def to(self, collection: str, resource_id: str) -> str:
        """Return the URL of a resource."""
        return f"{self.base}/{VERSION}/{self.project_id}/{collection}/{resource_id}"

    def next(self, marker: str, limit: int) -> list[JSON]:
        """Return the link to the page after `marker`, with the request's other parameters."""
        query = {**self.query, "limit": str(limit), "marker": marker}
        return [{"rel": "next", "href": f"{self.base}/{VERSION}{quote(self.path)}?{urlencode(query)}"}]

    def page(self, key: str, items: Sequence[JSON], marker: str | None, limit: int) -> dict[str, JSON]:
        """Return a page's body: the items, and links only when there is a next page.

        They are under `links`, where most clients look, and under `{key}_links`, where gophercloud does.
        """
        body: dict[str, JSON] = {key: items}
        if marker is not None:
            body["links"] = body[f"{key}_links"] = self.next(marker, limit)
        return body


def _host(environ: Mapping[str, str]) -> str:
    host = environ.get("HTTP_HOST")
    if host:
        return host
    name, port = environ.get("SERVER_NAME", "localhost"), environ.get("SERVER_PORT", "")
    return f"{name}:{port}" if port and port not in {"80", "443"} else name
