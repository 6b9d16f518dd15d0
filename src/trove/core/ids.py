"""Identifiers of resources."""

import re
import uuid

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def new_id() -> str:
    """Return a fresh random id: a canonical lower-case UUID4 of 36 characters."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Tell whether `text` has the canonical 8-4-4-4-12 hexadecimal form."""
    return _UUID.fullmatch(text) is not None
