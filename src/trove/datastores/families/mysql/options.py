"""Reads option files of servers of the family, and says how an option is set in SQL while the server runs."""

import re
from collections.abc import Mapping

_SECTIONS = frozenset({"mariadbd", "mysqld", "server"})
_SIZE = re.compile(r"(-?[0-9]+)([KMGTPE])?", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.,:+%-]*", re.ASCII)
_SCALE = {letter: 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_INTEGERS = ("INT", "BIGINT")


def read_config(text: str) -> Mapping[str, str]:
    """Return the options of the server's sections, by names with underscores; of a repeated one the last, as servers do."""
    options: dict[str, str] = {}
    ours = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            ours = line.strip("[]") in _SECTIONS
        elif ours and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            options[name.strip().replace("-", "_")] = _unquoted(value.strip())
    return options


def write_config(options: Mapping[str, str]) -> str:
    """Return the text of a file with these options, which `read_config` reads again."""
    lines = [f"{name} = {_quoted(value)}" for name, value in sorted(options.items())]
    return "\n".join(("# What the server runs with.", "[mysqld]", *lines, ""))


def sql_value(value: str, variable_type: str) -> tuple[str, tuple[object, ...]]:
    """Return what SET GLOBAL is to be told: SQL, and the values for its `%s`.

    `variable_type` begins with INT or BIGINT, is DOUBLE, or another word for all that is written in quotes.
    The server judges what is not a number where it needs one.
    """
    size = _SIZE.fullmatch(value)
    if variable_type.startswith(_INTEGERS) and size:
        return str(int(size[1]) * _SCALE.get((size[2] or "").upper(), 1)), ()
    if variable_type == "DOUBLE" and _NUMBER.fullmatch(value):
        return value, ()
    return "%s", (value,)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
