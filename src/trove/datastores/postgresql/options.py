"""Reads and writes PostgreSQL's configuration files. Source: "Setting Parameters" of its manual."""

import re
from collections.abc import Mapping

_LINE = re.compile(r"\s*([A-Za-z_][\w$.]*)(?:\s*=\s*|\s+)('(?:[^'\\]|''|\\.)*'|[^\s#']+)\s*(?:#.*)?", re.DOTALL)
_BARE = re.compile(r"-?[0-9]+(\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def read_config(text: str) -> Mapping[str, str]:
    """Return the parameters that a file sets, by name in small letters; of a repeated one the last, as servers do."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            found[match.group(1).lower()] = _unquoted(match.group(2))
    return found


def write_config(options: Mapping[str, str]) -> str:
    """Return the text of a file with these parameters, which `read_config` and servers read again."""
    return "".join(f"{name} = {quoted(value)}\n" for name, value in sorted(options.items()))


def quoted(value: str) -> str:
    """Return a value as a configuration file has it."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _unquoted(value: str) -> str:
    if value.startswith("'"):
        return re.sub(r"''|\\(.)", lambda found: found.group(1) or "'", value[1:-1])
    return value
