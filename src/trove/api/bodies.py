"""Reads a request's body, JSON or XML: bounded, without traps (duplicate keys, depth, NUL, lone surrogates)."""

import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

from trove.api import xml
from trove.api.faults import TooLarge, UnsupportedMediaType
from trove.api.formats import JSON_TYPES, XML_TYPES
from trove.api.schemas.scalars import Schema
from trove.core.errors import InvalidInput
from trove.core.json import JSON

MAX_DEPTH = 20

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read(environ: Mapping[str, Any], *, max_bytes: int, schema: Schema | None = None) -> JSON:
    """Return the parsed body, None when there is none; one without a Content-Type is JSON.

    `schema` guides the types of XML; it is not enforced. Raises `InvalidInput` (not what its type says),
    `UnsupportedMediaType`, `TooLarge`.
    """
    raw = _read_bytes(environ, max_bytes)
    if not raw.strip():
        return None
    content_type = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if content_type in XML_TYPES:
        document = xml.read(raw, schema)
        _inspect(document)
        return document
    if content_type and content_type not in JSON_TYPES:
        raise UnsupportedMediaType(
            f"The Content-Type {content_type[:100]!r} is not supported; send application/json or application/xml."
        )
    return parse(raw)


def parse(raw: bytes) -> JSON:
    """Parse JSON strictly. Raises `InvalidInput` saying what is wrong and where."""
    try:
        document: JSON = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InvalidInput("The request body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The request body is not JSON: {error.msg} at line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise InvalidInput(_TOO_DEEP) from None
    except ValueError:
        raise InvalidInput("The request body is not JSON: a number is too long.") from None
    _inspect(document)
    return document


_TOO_DEEP = f"The request body is nested deeper than {MAX_DEPTH} levels."


def _read_bytes(environ: Mapping[str, Any], max_bytes: int) -> bytes:
    stream: BinaryIO = environ["wsgi.input"]
    declared = str(environ.get("CONTENT_LENGTH") or "")
    if not declared:
        chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower()
        raw = stream.read(max_bytes + 1) if chunked else b""
    elif not declared.isascii() or not declared.isdigit():
        raise InvalidInput("The Content-Length header is not a number.")
    elif len(declared) > 12 or int(declared) > max_bytes:
        raise TooLarge(f"The request body is larger than {max_bytes} bytes.")
    else:
        raw = stream.read(int(declared))
    if len(raw) > max_bytes:
        raise TooLarge(f"The request body is larger than {max_bytes} bytes.")
    return raw


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInput(f"The request body has the key {key[:100]!r} twice in one object.")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise InvalidInput(f"The request body is not JSON: {text} is not a number.")


def _inspect(document: JSON) -> None:
    level: list[JSON] = [document]
    for _ in range(MAX_DEPTH):
        below: list[JSON] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                for key in value:
                    _check_text(key)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return
        level = below
    raise InvalidInput(_TOO_DEEP)


def _check_text(text: str) -> None:
    if not text.isascii() or "\x00" in text:
        found = _UNSTORABLE.search(text)
        if found:
            what = "a NUL character" if found.group() == "\x00" else "half of a surrogate pair"
            raise InvalidInput(f"The request body has a string with {what}, which cannot be stored.")
