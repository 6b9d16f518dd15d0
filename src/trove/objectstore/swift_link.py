"""Speaks to Swift as the service's user: requests with Keystone's tokens, and Swift's answers as our errors."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import IO, cast

import requests
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session

from trove.core.errors import CloudError, NotFound, Unavailable

CHUNK = 256 * 1024
TRY_AGAIN = frozenset({401, 408, 409, 429, 498})
"""What passes by itself: a token that was revoked is replaced at the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where Swift is: by the catalogue, or at `url`, to which the id of a project is added."""

    service_type: str = "object-store"
    interface: str = "public"
    region: str | None = None
    url: str | None = None


class SwiftLink:
    """Requests to Swift. `session` knows the service's user, certificates and time-outs. Thread-safe.

    `guests` is where guests reach Swift, if that is elsewhere.
    """

    def __init__(self, session: Session, endpoint: Endpoint, *, guests: Endpoint | None = None) -> None:
        self._session = session
        self._endpoint = endpoint
        self._guests = guests or endpoint

    def __repr__(self) -> str:
        return "<SwiftLink>"

    def account_url(self, project_id: str | None) -> str:
        """Return the URL of the account of a project; None is the service's own."""
        return self._account_at(self._endpoint, project_id)

    def guests_account_url(self, project_id: str | None) -> str:
        """Return the same as guests reach it."""
        return self._account_at(self._guests, project_id)

    def _account_at(self, where: Endpoint, project_id: str | None) -> str:
        own = self._own_url(where)
        if project_id is None:
            return own
        with _translated():
            ours = str(self._session.get_project_id())
        # Accounts are named after projects, behind a prefix that the operator chose, such as AUTH_.
        if not own.endswith(ours):
            raise CloudError("The endpoint of the object store does not end with the id of the service's project.")
        return own.removesuffix(ours) + project_id

    def in_other_regions(self) -> "Iterator[SwiftLink]":
        """Yield links to Swift in the other regions of the catalogue."""
        service_type = self._endpoint.service_type
        with _translated():
            auth = cast("BaseIdentityPlugin", self._session.auth)
            catalogue = auth.get_access(self._session).service_catalog
            found = catalogue.get_endpoints_data(service_type=service_type, interface=self._endpoint.interface)
        regions = {str(each.region_name) for each in found.get(service_type, ())}
        for region in sorted(regions - {self._endpoint.region}):
            place, guests = (replace(each, region=region, url=None) for each in (self._endpoint, self._guests))
            yield SwiftLink(self._session, place, guests=guests)

    def ask(
        self, verb: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | IO[bytes] | None = None
    ) -> Mapping[str, str]:
        """Send a request whose answer is its headers alone; they are by name in lower case."""
        with closing(self._send(verb, url, headers, body)) as reply:
            return {name.lower(): value for name, value in reply.headers.items()}

    def read(
        self, url: str, *, verb: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the body of an answer."""
        return b"".join(self.stream(url, verb=verb, body=body, headers=headers))

    def stream(
        self, url: str, *, verb: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[bytes]:
        """Return the body of an answer piece by piece; the answer itself is there when this returns."""
        return _pieces(self._send(verb, url, headers, body))

    def _own_url(self, where: Endpoint) -> str:
        if where.url is not None:
            with _translated():
                return where.url + str(self._session.get_project_id())
        place = f" in region {where.region}" if where.region else ""
        # Not `NotFound`: it would look as if the objects were gone.
        missing = CloudError(f"The catalogue of services has no {where.interface} endpoint of {where.service_type}{place}.")
        try:
            with _translated():
                found = self._session.get_endpoint(
                    service_type=where.service_type, interface=where.interface, region_name=where.region
                )
        except keystone.EndpointNotFound as error:
            raise missing from error
        if found is None:
            raise missing
        return str(found).rstrip("/")

    def _send(
        self, verb: str, url: str, headers: Mapping[str, str] | None, body: bytes | IO[bytes] | None
    ) -> requests.Response:
        with _translated():
            reply: requests.Response = self._session.request(
                url, verb, headers=dict(headers or {}), data=body, raise_exc=False, redirect=False, stream=True
            )
        if reply.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return reply
        reply.close()
        raise _error(reply.status_code, verb)


def _pieces(reply: requests.Response) -> Iterator[bytes]:
    with closing(reply):
        pieces = reply.iter_content(CHUNK)
        while True:
            with _translated():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece


def _error(status: int, verb: str) -> Exception:
    if status == HTTPStatus.NOT_FOUND:
        return NotFound("It cannot be found in the object store.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TRY_AGAIN:
        return Unavailable(f"The object store cannot do it now: it answers {status}.")
    if status == HTTPStatus.FORBIDDEN:
        return CloudError("The object store does not let the service in: its user needs the role of a reseller admin there.")
    return CloudError(f"The object store refuses {verb}: it answers {status}.")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the libraries below raise into `Unavailable`, or `CloudError` where trying again does not help."""
    try:
        yield
    except keystone.EndpointNotFound:
        raise
    except (keystone.Unauthorized, keystone.MissingAuthPlugin, keystone.AuthPluginException) as error:
        raise CloudError("Keystone does not let the service in: check [service_credentials].") from error
    except (keystone.ClientException, requests.RequestException, OSError) as error:
        # Its own words may hold a URL with a ticket.
        raise Unavailable(f"The object store cannot be reached: {type(error).__name__}.") from error
