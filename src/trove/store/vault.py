"""Sealing of secrets at rest: what leaves for the state database is unreadable without the key file."""

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from trove.core import errors


class SealBroken(errors.TroveError):
    """A stored secret opens with none of the keys: the key file is not the one it was sealed with, or the value was changed."""

    code = "seal_broken"


class Vault:
    """Seals with the first key and opens with any of them, so that keys can be rotated. Thread-safe.

    Keys are Fernet keys (32 bytes, URL-safe base64); make one with `Vault.new_key`.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise errors.InvalidInput("The vault needs at least one key.")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            # From None: the text of the key must not travel in a traceback.
            raise errors.InvalidInput("A vault key is not 32 bytes in URL-safe base64.") from None

    @staticmethod
    def new_key() -> bytes:
        """Return a fresh random key."""
        return Fernet.generate_key()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], create: bool = False) -> "Vault":
        """Read keys from `path`, one a line, the sealing key first; lines that begin with # are comments.

        With `create`, a missing file is made with one fresh key, mode 0600; processes that do so at once get the same key.
        Raises `InvalidInput` when the file is missing, empty or open to other users.
        """
        path = Path(path)
        if create and not path.exists():
            _make_key_file(path, cls.new_key())
        try:
            mode = path.stat().st_mode
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise errors.InvalidInput(f"The vault key file cannot be read: {error}.") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise errors.InvalidInput(f"The vault key file {path} is open to other users; set its mode to 0600.")
        return cls([line.strip() for line in lines if line.strip() and not line.startswith(b"#")])

    def seal(self, secret: bytes) -> bytes:
        """Return `secret` encrypted and authenticated; each time different."""
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed; raise `SealBroken` when no key fits or the value was changed."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise SealBroken("A stored secret cannot be opened with the present vault keys.") from None


def _make_key_file(path: Path, key: bytes) -> None:
    """Put the file in place whole, and only if none is there: a link fails on an existing name."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        Path(draft).unlink()
