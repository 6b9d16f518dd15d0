"""Stores that do not let the service in, or are not there: said in a sentence that names what to mend, and no secret."""

import secrets
from dataclasses import replace

import pytest
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from tests.support.keystone import DEMO_PASSWORD, SERVICE_PASSWORD
from tests.support.object_stores import Servers, s3_settings

from trove.core.errors import CloudError, TroveError, Unavailable
from trove.objectstore.s3 import S3ObjectStore
from trove.objectstore.swift import SwiftObjectStore
from trove.objectstore.swift_link import Endpoint, SwiftLink


def swift(there: Servers, *, user: str = "trove", password: str = SERVICE_PASSWORD, **place: str) -> SwiftObjectStore:
    auth = v3.Password(
        auth_url=place.pop("auth_url", there.identity.url),
        username=user,
        password=password,
        project_name="service" if user == "trove" else "demo",
        user_domain_id="default",
        project_domain_id="default",
    )
    link = SwiftLink(Session(auth=auth, timeout=30), Endpoint(**place))
    return SwiftObjectStore(link, key=secrets.token_bytes(32)).of(secrets.token_hex(16))


def words(store: object, kind: type[TroveError]) -> str:
    with pytest.raises(kind) as told:
        store.put("c", "n", [b"x"])  # type: ignore[attr-defined]
    return told.value.message


def test_swift_that_does_not_let_the_service_in(object_servers: Servers) -> None:
    assert "service_credentials" in words(swift(object_servers, password="wrong-secret"), CloudError)
    assert "wrong-secret" not in words(swift(object_servers, password="wrong-secret"), CloudError)
    assert "reseller admin" in words(swift(object_servers, user="demo", password=DEMO_PASSWORD), CloudError)
    assert "catalogue" in words(swift(object_servers, region="Nowhere"), CloudError)
    assert "cannot be reached" in words(swift(object_servers, auth_url="http://127.0.0.1:1/v3"), Unavailable)


def test_an_endpoint_may_be_named_instead_of_the_catalogues(object_servers: Servers) -> None:
    store = swift(object_servers, url=f"{object_servers.swift.url}/v1/AUTH_")
    store.put("c", "n", [b"x"])
    assert b"".join(store.get("c", "n")) == b"x"


def test_s3_that_does_not_let_the_service_in(object_servers: Servers) -> None:
    good = s3_settings(object_servers)
    assert "refuses" in words(S3ObjectStore(replace(good, secret_key="wrong-secret")), CloudError)
    assert "NoSuchBucket" in words(S3ObjectStore(replace(good, bucket="not-there")), CloudError)
    away = replace(good, endpoint="http://127.0.0.1:1")
    assert "cannot be reached" in words(S3ObjectStore(away), Unavailable)
    assert good.secret_key not in repr(good)
