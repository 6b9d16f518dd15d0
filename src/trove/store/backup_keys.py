"""Keys that encrypt backups: each backup has one of its own, which is in its manifest, encrypted by a key of its project.

Keys of projects are here, sealed by the service's own key; they never leave the control plane. A guest gets the keys of those
backups alone that it makes or restores.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import insert, select, update

from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.core.manifests import Encryption
from trove.store.session import Tx
from trove.store.tables import backup_keys

CIPHER = "AES-256-GCM"
KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectKey:
    """What is told of a project's key."""

    id: str
    project_id: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKey:
    """The key of one backup, and how it is written into the manifest."""

    key: bytes = field(repr=False)
    encryption: Encryption


def new_backup_key(tx: Tx, project_id: str, backup_id: str) -> BackupKey:
    """Return a fresh key for a backup, encrypted by the project's newest key, which is made if there is none."""
    found = _newest(tx, project_id)
    key_id, project_key = found if found is not None else _add(tx, project_id)
    key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES)
    wrapped = nonce + AESGCM(project_key).encrypt(nonce, key, _about(project_id, backup_id))
    return BackupKey(key=key, encryption=Encryption(cipher=CIPHER, key_id=key_id, wrapped_key=b64encode(wrapped).decode()))


def open_backup_key(tx: Tx, project_id: str, backup_id: str, encryption: Encryption) -> bytes:
    """Return the key of a backup. Raises `NotFound` when the project has not that key, `InvalidInput` when it does not fit."""
    mine = (backup_keys.c.id == encryption.key_id, backup_keys.c.tenant_id == project_id)
    row = tx.execute(select(backup_keys.c.sealed).where(*mine)).first()
    if row is None:
        raise NotFound("The key with which the backup was encrypted is not known here.")
    try:
        wrapped = b64decode(encryption.wrapped_key, validate=True)
        about = _about(project_id, backup_id)
        key = AESGCM(tx.vault.open(row[0])).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], about)
    except (ValueError, InvalidTag) as error:
        raise InvalidInput("The key in the backup's manifest was altered, or is that of another backup.") from error
    if encryption.cipher != CIPHER or len(key) != KEY_BYTES:
        raise InvalidInput("The backup is encrypted in a way that this version of the service does not know.")
    return key


def rotate(tx: Tx, project_id: str) -> ProjectKey:
    """Give a project a new key, for the backups from now on. The old ones stay for theirs."""
    key_id, _ = _add(tx, project_id)
    return next(key for key in known(tx, project_id) if key.id == key_id)


def known(tx: Tx, project_id: str | None = None) -> Sequence[ProjectKey]:
    """Return the keys of a project, or of all, the oldest first."""
    query = select(backup_keys.c.id, backup_keys.c.tenant_id, backup_keys.c.created)
    if project_id is not None:
        query = query.where(backup_keys.c.tenant_id == project_id)
    rows = tx.execute(query.order_by(backup_keys.c.tenant_id, backup_keys.c.created, backup_keys.c.id))
    return [ProjectKey(id=row[0], project_id=row[1], created=row[2]) for row in rows]


def reseal(tx: Tx) -> int:
    """Seal all keys again with the service's present key; return how many."""
    rows = tx.execute(select(backup_keys.c.id, backup_keys.c.sealed)).all()
    for key_id, sealed in rows:
        fresh = tx.vault.seal(tx.vault.open(sealed))
        tx.execute(update(backup_keys).where(backup_keys.c.id == key_id).values(sealed=fresh))
    return len(rows)


def _newest(tx: Tx, project_id: str) -> tuple[str, bytes] | None:
    query = select(backup_keys.c.id, backup_keys.c.sealed).where(backup_keys.c.tenant_id == project_id)
    row = tx.execute(query.order_by(backup_keys.c.created.desc(), backup_keys.c.id.desc()).limit(1)).first()
    return None if row is None else (row[0], tx.vault.open(row[1]))


def _add(tx: Tx, project_id: str) -> tuple[str, bytes]:
    key_id, key = new_id(), os.urandom(KEY_BYTES)
    row = {"id": key_id, "tenant_id": project_id, "created": utcnow(), "sealed": tx.vault.seal(key)}
    tx.execute(insert(backup_keys).values(**row))
    return key_id, key


def _about(project_id: str, backup_id: str) -> bytes:
    return f"trove backup key\n{project_id}\n{backup_id}".encode()
