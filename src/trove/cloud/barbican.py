"""Barbican as the key manager: found in the catalogue that comes with the caller's token, and used with that token alone.

Not by openstacksdk, which knows no consumers of secrets, and wants a user of its own: this needs nothing but what a request
brings, so it serves with any cloud beside a Keystone. Nothing that was read is logged, and no URL of a tenant's is followed:
of a reference only the id is taken.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token

from trove.cloud.contract import MOST_SECRET_BYTES, KeyToken
from trove.core.errors import CloudBusy, CloudError, InvalidInput, TroveError, Unavailable, Unsupported

ANSWER_S = 10.0
TELL_S = 3.0
"""How long a note about a consumer may take: nothing depends on it."""
SERVICE, RESOURCE, SERVICE_TYPE = "database", "instance", "key-manager"
_PARTS = ("certificate", "private_key", "intermediates", "private_key_passphrase")
_TAIL = re.compile(r"/(?:v1/)?(secrets|containers)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_CONSUMERS = {"OpenStack-API-Version": "key-manager 1.1"}
_LONGEST_ANSWER = 256 * 1024

logging.getLogger(f"{__name__}.wire").disabled = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BarbicanSettings:
    """Where Barbican is: `url` instead of the catalogue's, else the first of `interface` there, in `region` if one is named.

    `verify` is False, True or the path of the authorities' certificates.
    """

    url: str | None = None
    service_type: str = SERVICE_TYPE
    interface: str = "publicURL"
    region: str | None = None
    verify: bool | str = True


class BarbicanKeys:
    """Secrets of tenants in Barbican. Thread-safe; keeps nothing."""

    def __init__(self, settings: BarbicanSettings) -> None:
        self._settings = settings

    def read(self, token: KeyToken, ref: str, *, field: str) -> Mapping[str, bytes]:
        """Return what a secret or a certificate's container holds."""
        door = self._door(token)
        kind, found = door.locate(ref, field)
        if kind == "secrets":
            return {"payload": door.payload(found, field)}
        described = door.get_json(f"containers/{found}", field)
        if described.get("type") != "certificate":
            raise InvalidInput(f"{field}: a container must be of type certificate, not {described.get('type')}.")
        refs = {str(each.get("name")): str(each.get("secret_ref")) for each in described.get("secret_refs", ())}
        return {name: door.payload(door.locate(refs[name], field)[1], field) for name in _PARTS if name in refs}

    def add_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Note with a secret or a container that an instance uses it."""
        door = self._door(token)
        kind, found = door.locate(ref, "container_ref")
        door.tell("POST", f"{kind}/{found}/consumers", _consumer(kind, instance_id))

    def remove_consumer(self, token: KeyToken, ref: str, instance_id: str) -> None:
        """Take that note away."""
        door = self._door(token)
        kind, found = door.locate(ref, "container_ref")
        door.tell("DELETE", f"{kind}/{found}/consumers", _consumer(kind, instance_id), missing_is_fine=True)

    def _door(self, token: KeyToken) -> "_Door":
        own, known = self._endpoints(token.catalogue)
        if own is None:
            raise Unsupported("This cloud has no key manager (Barbican) to take certificates from: TLS stays as it is.")
        session = Session(auth=Token(own, token.token), verify=self._settings.verify, timeout=ANSWER_S)
        adapter = Adapter(session, endpoint_override=own, logger=logging.getLogger(f"{__name__}.wire"), raise_exc=False)
        return _Door(adapter, own, known)

    def _endpoints(self, catalogue: str) -> tuple[str | None, tuple[str, ...]]:
        """Return where it is asked, and all addresses under which the catalogue knows it."""
        settings = self._settings
        own, known = settings.url, [] if settings.url is None else [settings.url]
        try:
            listed = json.loads(catalogue or "[]")
        except ValueError:
            listed = []
        for service in listed:
            if service.get("type") != settings.service_type:
                continue
            for endpoint in service.get("endpoints", ()):
                if settings.region is not None and endpoint.get("region") != settings.region:
                    continue
                known += [str(endpoint[name]) for name in ("publicURL", "internalURL", "adminURL") if endpoint.get(name)]
                own = own or endpoint.get(settings.interface)
        return None if own is None else _root(own), tuple(dict.fromkeys(_root(each) for each in known))


@dataclass(frozen=True, slots=True)
class _Door:
    """One Barbican, as one caller."""

    adapter: Any
    own: str
    known: tuple[str, ...]

    def locate(self, ref: str, field: str) -> tuple[str, str]:
        """Return which kind of thing a reference names, and its id."""
        for root in self.known:
            if ref.startswith(root) and (found := _TAIL.fullmatch(ref[len(root) :])):
                return found[1], found[2]
        raise InvalidInput(f"{field}: must be the URL of a secret or a container of the key manager at {self.own}.")

    def payload(self, secret_id: str, field: str) -> bytes:
        """Return what a secret holds."""
        described = self.get_json(f"secrets/{secret_id}", field)
        form = (described.get("content_types") or {}).get("default")
        if form is None:
            raise InvalidInput(f"{field}: the secret holds nothing.")
        return self._get(f"secrets/{secret_id}/payload", field, accept=str(form), most=MOST_SECRET_BYTES)

    def get_json(self, path: str, field: str) -> Mapping[str, Any]:
        """Return what is told of something."""
        try:
            told = json.loads(self._get(path, field, accept="application/json", most=_LONGEST_ANSWER))
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise CloudError("The key manager answers in a form that is not understood.")
        return told

    def tell(self, method: str, path: str, body: Mapping[str, str], *, missing_is_fine: bool = False) -> None:
        """Change the consumers of something."""
        with _translated():
            answer = self.adapter.request(
                f"{self.own}/v1/{path}", method, json=body, headers=_CONSUMERS, log=False, redirect=False, timeout=TELL_S
            )
        if answer.status_code == 404 and missing_is_fine:
            return
        if answer.status_code >= 300:
            raise _of_status(answer.status_code) or CloudError(f"The key manager refuses it (HTTP {answer.status_code}).")

    def _get(self, path: str, field: str, *, accept: str, most: int) -> bytes:
        with _translated():
            answer = self.adapter.request(
                f"{self.own}/v1/{path}", "GET", headers={"Accept": accept}, log=False, redirect=False, stream=True
            )
            try:
                if answer.status_code != 200:
                    raise _of_status(answer.status_code) or InvalidInput(
                        f"{field}: the key manager has no such secret, or it is not yours to read (HTTP {answer.status_code})."
                    )
                content = b""
                for piece in answer.iter_content(16 * 1024):
                    content += piece
                    if len(content) > most:
                        raise InvalidInput(f"{field}: a secret may be {MOST_SECRET_BYTES} bytes long, no more.")
                return content
            finally:
                answer.close()


def _consumer(kind: str, instance_id: str) -> dict[str, str]:
    if kind == "secrets":
        return {"service": SERVICE, "resource_type": RESOURCE, "resource_id": instance_id}
    return {"name": SERVICE, "URL": f"{RESOURCE}:{instance_id}"}


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _of_status(status: int) -> TroveError | None:
    return CloudBusy(f"The key manager cannot answer now (HTTP {status}).") if status in _BUSY else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TroveError:
        raise
    except (keystone.ConnectFailure, keystone.ConnectTimeout, OSError) as error:  # requests' errors are OSErrors
        raise Unavailable("The key manager does not answer now; try again.") from error
    except keystone.ClientException as error:
        raise CloudError("The key manager cannot be used: see the log of the service.") from error
