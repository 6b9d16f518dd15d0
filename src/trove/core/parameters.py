"""Parameters of a database server that tenants may set in configuration groups, and what a value for one must be like."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from trove.core.json import JSON

NAME_CHARACTERS = 128
TEXT_CHARACTERS = 4096
"""The longest value that is a text."""
LARGEST = 2**64 - 1
"""No number is further from 0, whatever its parameter allows."""
MASK = "***"
"""What is shown in place of a value that looks like a secret."""

_SECRET = re.compile("passw(or)?d|secret|token|passphrase", re.IGNORECASE)
_BREAK = re.compile("[\r\n\0\ud800-\udfff]")


class ParameterType(StrEnum):
    """What the JSON value of a parameter is."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    FLOAT = "float"
    LIST = "list"


_ARTICLES: Mapping[ParameterType, str] = {
    ParameterType.STRING: "a string",
    ParameterType.INTEGER: "an integer",
    ParameterType.BOOLEAN: "true or false",
    ParameterType.FLOAT: "a number",
    ParameterType.LIST: "a list of strings, numbers, true or false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. `minimum` and `maximum` bound numbers, and the number of characters of strings; None does not bound.

    `values` are the only strings that are allowed, in any case of letters; empty allows any. `restart_required`: a change takes
    effect when the server starts again. `since` and `until` are the first version that has it and the first that has not.
    """

    name: str
    type: ParameterType
    restart_required: bool
    minimum: int | float | None = None
    maximum: int | float | None = None
    values: tuple[str, ...] = ()
    unit: str | None = None
    description: str | None = None
    since: str | None = None
    until: str | None = None

    def problem(self, value: JSON) -> str | None:
        """Return what is wrong with a value, as "must be …"; None when it is good."""
        if not _TYPED[self.type](value):
            return f"must be {_ARTICLES[self.type]}"
        if isinstance(value, str):
            return self._problem_of_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._problem_of_number(value)
        return None

    def canonical(self, value: JSON) -> JSON:
        """Return a good value in the form that is stored: of a choice of strings the one that was meant, of a float a float."""
        if self.type is ParameterType.FLOAT and isinstance(value, int):
            return float(value)
        if isinstance(value, str) and self.values:
            return next((each for each in self.values if each.lower() == value.lower()), value)
        return value

    def _problem_of_text(self, value: str) -> str | None:
        if _BREAK.search(value):
            return "must not hold line breaks or characters that cannot be stored"
        most = TEXT_CHARACTERS if self.maximum is None else min(TEXT_CHARACTERS, int(self.maximum))
        if len(value) > most:
            return f"must have at most {most} characters"
        if self.minimum is not None and len(value) < self.minimum:
            return f"must have at least {int(self.minimum)} characters"
        if self.values and value.lower() not in {each.lower() for each in self.values}:
            return f"must be one of {', '.join(self.values)}"
        return None

    def _problem_of_number(self, value: int | float) -> str | None:
        if self.minimum is not None and value < self.minimum:
            return f"must not be less than {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"must not be more than {self.maximum}"
        return None if abs(value) <= LARGEST else "must not be as large"


def looks_secret(name: str) -> bool:
    """Tell whether the value of such a parameter must not be shown."""
    return _SECRET.search(name) is not None


def exists_in(parameter: Parameter, version: str) -> bool:
    """Tell whether a server of that version number, such as `10.11.6`, has the parameter."""
    number = _number(version)
    if parameter.since is not None and number < _number(parameter.since):
        return False
    return parameter.until is None or number < _number(parameter.until)


def parse(entries: Iterable[Mapping[str, object]]) -> tuple[Parameter, ...]:
    """Return the parameters of a shipped catalogue, by name."""
    return tuple(sorted((_parse(entry) for entry in entries), key=lambda each: each.name))


def _parse(entry: Mapping[str, object]) -> Parameter:
    low, high, values = entry.get("min"), entry.get("max"), entry.get("values") or ()
    assert low is None or isinstance(low, int | float)
    assert high is None or isinstance(high, int | float)
    assert isinstance(values, Sequence)
    texts = {name: str(entry[name]) for name in ("unit", "description", "since", "until") if entry.get(name) is not None}
    return Parameter(
        name=str(entry["name"]),
        type=ParameterType(str(entry["type"])),
        restart_required=bool(entry["restart"]),
        minimum=low,
        maximum=high,
        values=tuple(str(each) for each in values),
        **texts,
    )


@cache
def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", version)[:4])


def _is_integer(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: JSON) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_list(value: JSON) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, bool) or _is_number(each) or (isinstance(each, str) and not _BREAK.search(each)) for each in value
    )


_TYPED = {
    ParameterType.STRING: lambda value: isinstance(value, str),
    ParameterType.INTEGER: _is_integer,
    ParameterType.BOOLEAN: lambda value: isinstance(value, bool),
    ParameterType.FLOAT: _is_number,
    ParameterType.LIST: _is_list,
}
