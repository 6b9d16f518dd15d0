"""Encrypts and decrypts the stream of a backup by frames: none can be altered, left out, moved, or be of another backup.

A stream is a header and frames. The header is a mark with the version of the form, the bytes of clear text in a frame (4, big
end first), and 32 random bytes. From these and the key of the backup comes the key of this one stream (HKDF, RFC 5869): a
backup that is begun again never uses a key twice for other data. Each frame is AES-256-GCM; its nonce is the number of the
frame (11 bytes) and whether it is the last (1 byte), so that an end that was cut off shows. All but the last are of full size.

Source: the STREAM construction in "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", Hoang et al., 2015.
"""

import hmac
import os
from base64 import b64decode
from collections.abc import Iterable, Iterator

from trove.core.errors import GuestError

MARK = b"trvbak\x00\x01"
FRAME = 256 * 1024
LARGEST_FRAME = 16 * 1024 * 1024
LAYER = "aes-256-gcm"
"""What the layer is called in the encoding of a manifest."""

_SALT, _TAG, _KEY = 32, 16, 32
_HEADER = len(MARK) + 4 + _SALT
DAMAGED = "The backup is damaged: its stream does not decrypt with the key of the backup."


def encrypted(chunks: Iterable[bytes], key: bytes, backup_id: str) -> Iterator[bytes]:
    """Yield the stream of a backup encrypted; an empty one, too, has a frame."""
    header = MARK + FRAME.to_bytes(4, "big") + os.urandom(_SALT)
    cipher = _cipher(key, header, backup_id)
    yield header
    number, frame, filled = 0, bytearray(FRAME), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            if filled == FRAME:  # more follows, so it is not the last, which is known by its nonce
                yield cipher.encrypt(_nonce(number, last=False), frame, header)
                number, filled = number + 1, 0
            piece = rest[: FRAME - filled]
            frame[filled : filled + len(piece)] = piece
            filled, rest = filled + len(piece), rest[len(piece) :]
    yield cipher.encrypt(_nonce(number, last=True), memoryview(frame)[:filled], header)


def decrypted(chunks: Iterable[bytes], key: bytes, backup_id: str) -> Iterator[bytes]:
    """Yield the clear text of what `encrypted` made, each frame once it is proven. Raises `GuestError` for anything else."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  few agents ever need it

    number, sealed, header, size = 0, bytearray(), b"", 0
    try:
        for piece in _pieces(chunks):
            sealed += piece
            if not header and len(sealed) >= _HEADER:
                header, size = _read_header(bytes(sealed[:_HEADER]))
                cipher = _cipher(key, header, backup_id)
                del sealed[:_HEADER]
            while header and len(sealed) > size:
                yield cipher.decrypt(_nonce(number, last=False), bytes(sealed[:size]), header)
                del sealed[:size]
                number += 1
        if not header:
            raise GuestError(DAMAGED)
        yield cipher.decrypt(_nonce(number, last=True), bytes(sealed), header)
    except InvalidTag as error:
        raise GuestError(DAMAGED) from error


def _pieces(chunks: Iterable[bytes]) -> Iterator[memoryview]:
    """Yield what comes in pieces of about a frame: a segment is not to be copied as a whole."""
    for chunk in chunks:
        view = memoryview(chunk)
        for begin in range(0, len(view), FRAME):
            yield view[begin : begin + FRAME]


def key_of(text: str) -> bytes:
    """Read a key as it crosses the bus. Raises `GuestError`."""
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY:
        raise GuestError("The key of the backup is malformed.")
    return key


def _read_header(header: bytes) -> tuple[bytes, int]:
    size = int.from_bytes(header[len(MARK) : len(MARK) + 4], "big")
    if not header.startswith(MARK) or not 0 < size <= LARGEST_FRAME:
        raise GuestError(DAMAGED)
    return header, size + _TAG


def _cipher(key: bytes, header: bytes, backup_id: str):  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  few agents ever need it

    extracted = hmac.digest(header[-_SALT:], key, "sha256")
    return AESGCM(hmac.digest(extracted, f"trove backup {backup_id}".encode() + b"\x01", "sha256"))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
