"""Every object store there is, each fresh: memory, a directory, a real Swift, and the S3 API of that Swift."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.keystone import SERVICE_PASSWORD, Keystone, keystone
from tests.support.swift import S3_KEY, S3_USER, Swift, swift

from trove.objectstore.contract import ObjectStore
from trove.objectstore.endpoint import Endpoint
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

KINDS = ("file", "swift", "s3")
"""Stores that guests can reach."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """A Swift, and the Keystone that it asks."""

    swift: Swift
    identity: Keystone


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start Keystone and Swift; remove them afterwards."""
    with keystone(trove_url="http://127.0.0.1:1") as identity, swift(identity) as made:
        yield Servers(swift=made, identity=identity)


def swift_store(
    there: Servers,
    *,
    shared: bool = False,
    project_id: str | None = None,
    guests_url: str | None = None,
    region: str = "RegionOne",
) -> ObjectStore:
    """Return the store of a project, new unless it is named, as the service's own user reaches it, or guests elsewhere."""
    from keystoneauth1.identity import v3
    from keystoneauth1.session import Session

    from trove.objectstore.swift import SwiftObjectStore
    from trove.objectstore.swift_link import Endpoint as Place
    from trove.objectstore.swift_link import SwiftLink

    auth = v3.Password(
        auth_url=there.identity.url,
        username="trove",
        password=SERVICE_PASSWORD,
        project_name="service",
        user_domain_id="default",
        project_domain_id="default",
    )
    guests = None if guests_url is None else Place(url=guests_url)
    link = SwiftLink(Session(auth=auth, timeout=60), Place(region=region), guests=guests)
    store = SwiftObjectStore(link, key=secrets.token_bytes(32), shared=shared)
    return store.of(project_id or secrets.token_hex(16))


def s3_settings(there: Servers) -> Any:
    """Return how to reach a bucket, which is made."""
    import boto3
    from botocore.config import Config

    from trove.objectstore.s3 import S3Settings

    bucket = f"trove-{secrets.token_hex(8)}"
    settings = S3Settings(endpoint=there.swift.url, bucket=bucket, access_key=S3_USER, secret_key=S3_KEY)
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=S3_USER,
        aws_secret_access_key=S3_KEY,
        config=config,
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return settings


def s3_store(there: Servers) -> ObjectStore:
    """Return the store of a new project in a new bucket."""
    from trove.objectstore.s3 import S3ObjectStore

    return S3ObjectStore(s3_settings(there)).of(secrets.token_hex(16))


@contextlib.contextmanager
def file_store(root: Path, kind: type[FileObjectStore] = FileObjectStore) -> Iterator[FileObjectStore]:
    """Return a store in a directory behind its real endpoint."""
    signer = Signer(secrets.token_bytes(32), "http://placeholder")
    store = kind(root, signer)
    with Endpoint(("127.0.0.1", 0), store, signer) as endpoint:
        signer._endpoint = f"http://127.0.0.1:{endpoint.server_address[1]}"
        thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            endpoint.shutdown()
            thread.join()
