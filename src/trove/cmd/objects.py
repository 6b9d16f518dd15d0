"""From the configuration to the object store, and to the key that signs its tickets."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trove.core.errors import InvalidInput
from trove.objectstore.contract import ObjectStore
from trove.objectstore.signing import Signer

if TYPE_CHECKING:
    from trove.objectstore.file import FileObjectStore


def store(conf: Any, key_file: bytes) -> ObjectStore:
    """Return the object store that `[objectstore]` names. `key_file` is the content of the key file."""
    if conf.objectstore.driver == "memory":
        from trove.objectstore.memory import MemoryObjectStore

        return MemoryObjectStore()
    if conf.objectstore.driver == "swift":
        return _swift(conf, key_file)
    if conf.objectstore.driver == "s3":
        return _s3(conf)
    return file_store(conf, key_file)


def _swift(conf: Any, key_file: bytes) -> ObjectStore:
    from keystoneauth1.identity import v3
    from keystoneauth1.session import Session

    from trove.objectstore.swift import SwiftObjectStore
    from trove.objectstore.swift_link import Endpoint, SwiftLink

    ours = conf.service_credentials
    auth = v3.Password(
        auth_url=ours.auth_url,
        username=ours.username,
        password=ours.password,
        user_domain_name=ours.user_domain_name,
        project_name=None if ours.project_id else ours.project_name,
        project_id=ours.project_id,
        project_domain_name=None if ours.project_id else ours.project_domain_name,
    )
    verify = False if conf.swift_api_insecure else ours.cafile or True
    session = Session(auth=auth, verify=verify, timeout=conf.objectstore.timeout)
    endpoint = Endpoint(
        service_type=conf.swift_service_type,
        interface=conf.swift_endpoint_type.removesuffix("URL"),
        region=ours.region_name,
        url=conf.swift_url,
    )
    guests = Endpoint(
        service_type=conf.swift_service_type,
        interface=(conf.swift_guest_endpoint_type or conf.swift_endpoint_type).removesuffix("URL"),
        region=ours.region_name,
        # A URL for the services must not hide what the catalogue has for guests, if that is asked for.
        url=conf.swift_guest_url or (None if conf.swift_guest_endpoint_type else conf.swift_url),
    )
    shared = conf.objectstore.swift_account == "service"
    return SwiftObjectStore(SwiftLink(session, endpoint, guests=guests), key=ticket_key(key_file), shared=shared)


def _s3(conf: Any) -> ObjectStore:
    try:
        from trove.objectstore.s3 import S3ObjectStore, S3Settings
    except ImportError as error:
        raise InvalidInput("[objectstore] driver = s3 needs boto3: pip install 'trove[s3]'") from error
    ours = conf.objectstore
    return S3ObjectStore(
        S3Settings(
            endpoint=ours.s3_endpoint,
            bucket=ours.s3_bucket,
            region=ours.s3_region,
            access_key=ours.s3_access_key,
            secret_key=ours.s3_secret_key,
            ca_file=ours.s3_ca_file,
            timeout_s=ours.timeout,
        )
    )


def file_store(conf: Any, key_file: bytes) -> "FileObjectStore":
    """Return the store in the directory `[objectstore] path`."""
    from trove.objectstore.file import FileObjectStore

    return FileObjectStore(Path(conf.objectstore.path), signer(conf, key_file))


def signer(conf: Any, key_file: bytes) -> Signer:
    """Return what signs tickets for the endpoint, and checks them there."""
    return Signer(ticket_key(key_file), conf.objectstore.endpoint)


def ticket_key(key_file: bytes) -> bytes:
    """Return the key of tickets, derived from the last (oldest) key of the file, as the control plane's on the bus is."""
    lines = [line.strip() for line in key_file.splitlines()]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    derived: bytes = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"trove object store tickets").derive(
        base64.urlsafe_b64decode(keys[-1])
    )
    return derived
