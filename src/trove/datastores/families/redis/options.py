"""Reads and writes the configuration files of Redis and Valkey."""

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[\w.,:+%/@*^$!=<>|~&-]+", re.ASCII)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}

WORDS = frozenset({"client-output-buffer-limit", "latency-tracking-info-percentiles", "oom-score-adj-values", "save"})
"""Parameters whose value is several words, each of its own in the file."""


def read_config(text: str) -> Mapping[str, str]:
    """Return the options of a file by name; of a repeated one the last, as servers do."""
    options: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if line and line[0] != "#":
            name, _, value = line.partition(" ")
            options[name.lower()] = _unquoted(value.strip())
    return options


def option(name: str, value: str) -> str:
    """Return the line of a file that sets an option."""
    if name in WORDS and value:
        return " ".join((name, *map(quoted, value.split())))
    return f"{name} {quoted(value)}"


def quoted(value: str) -> str:
    """Return a value as one word of a file."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), value[1:-1])
    return value
