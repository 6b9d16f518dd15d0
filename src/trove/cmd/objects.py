"""From the configuration to the object store, and to the key that signs its tickets."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trove.objectstore.contract import ObjectStore
from trove.objectstore.signing import Signer

if TYPE_CHECKING:
    from trove.objectstore.file import FileObjectStore


def store(conf: Any, key_file: bytes) -> ObjectStore:
    """Return the object store that `[objectstore]` names. `key_file` is the content of the key file."""
    if conf.objectstore.driver == "memory":
        from trove.objectstore.memory import MemoryObjectStore

        return MemoryObjectStore()
    return file_store(conf, key_file)


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
