"""Stores that want to know size and digest of an object before its first byte: its bytes wait in memory, or on disk."""

from collections.abc import Iterable
from hashlib import sha256
from typing import IO

IN_MEMORY = 1024 * 1024
"""What is larger waits on disk."""

PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""Characters of metadata that need not be quoted in a header."""


def spool(file: IO[bytes], chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write all chunks to `file`; return their hexadecimal SHA-256 and their size."""
    digest, size = sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        file.write(chunk)
    return digest.hexdigest(), size
