"""Reads query parameters: `limit`, `marker`, booleans."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from trove.core.errors import InvalidInput

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse(query_string: str) -> dict[str, str]:
    """Return the parameters; of a repeated one, the last. Raises `InvalidInput` for what no parameter may hold."""
    if not query_string:
        return {}
    try:
        query = dict(parse_qsl(query_string, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise InvalidInput("The query has too many parameters.") from error
    for name, value in query.items():
        if _UNSTORABLE.search(name) or _UNSTORABLE.search(value):
            raise InvalidInput("The query holds a character that cannot be stored.")
    return query


def limit(query: Mapping[str, str], page_size: int) -> int:
    """Return the effective page size: the smaller of `limit` and the operator's; 0 and none mean the operator's."""
    text = query.get("limit", "")
    if not text:
        return page_size
    if not _INTEGER.fullmatch(text):
        raise InvalidInput(f"The query parameter limit must be a number, not {text[:40]!r}.")
    number = int(text)
    if number < 0:
        raise InvalidInput(f"The query parameter limit must not be negative, and {number} is.")
    return min(number, page_size) or page_size


def marker(query: Mapping[str, str]) -> str | None:
    """Return `marker`, None when absent or empty."""
    return query.get("marker") or None


def allow(query: Mapping[str, str], *names: str) -> None:
    """Raise `InvalidInput` naming what is allowed unless all are of `names`: a mistyped filter would show too much."""
    for name in query:
        if name not in names:
            raise InvalidInput(f"The query parameter {name[:40]!r} is not known; allowed are {', '.join(sorted(names))}.")


def choice(query: Mapping[str, str], name: str, allowed: Iterable[str]) -> str | None:
    """Return a parameter that must be one of `allowed`, None when absent or empty."""
    text = query.get(name) or None
    if text is not None and text not in (known := list(allowed)):
        raise InvalidInput(f"The query parameter {name} must be one of {', '.join(known)}, not {text[:40]!r}.")
    return text


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean parameter, False when absent. Accepts true, false, 1, 0, yes, no in any case."""
    text = query.get(name, "").lower()
    if text in {"true", "1", "yes"}:
        return True
    if text in {"", "false", "0", "no"}:
        return False
    raise InvalidInput(f"The query parameter {name} must be true or false, not {text[:40]!r}.")
