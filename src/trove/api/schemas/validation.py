"""Checks a body or a query against its schema and says in one sentence all that is wrong, without ever repeating a password."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from trove.api.schemas.scalars import DESCRIPTIONS, Schema
from trove.core.errors import InvalidInput
from trove.core.json import JSON

MAX_REPORTED = 10
LONGEST_SHOWN = 64


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of JSON Schema as Python has it, where `$` alone would let a newline end the text."""
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", pattern))


def _matches(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError(f"does not match {pattern}")


_Validator: Any = extend(Draft4Validator, {"pattern": _matches})  # type: ignore[no-untyped-call]


class Validator:
    """One compiled schema."""

    def __init__(self, schema: Schema) -> None:
        Draft4Validator.check_schema(schema)
        self.schema = schema
        self._validator = _Validator(schema)

    def check(self, body: JSON) -> None:
        """Raise `InvalidInput` naming each wrong field as `path reason`, joined by `; `."""
        self._check(body, lambda path: _place(path) if path else "the request body")

    def check_query(self, query: Mapping[str, str]) -> None:
        """Raise `InvalidInput` naming each wrong parameter of a query."""
        self._check(query, lambda path: f"the query parameter {_place(path)}" if path else "the query")

    def _check(self, found: JSON, place: Callable[[Sequence[str | int]], str]) -> None:
        if self._validator.is_valid(found):
            return
        wrong = [_sentence(error, place) for error in self._validator.iter_errors(found)]
        more = f"; and {len(wrong) - MAX_REPORTED} more" if len(wrong) > MAX_REPORTED else ""
        raise InvalidInput("Validation error: " + "; ".join(wrong[:MAX_REPORTED]) + more + ".")


def _sentence(error: ValidationError, place: Callable[[Sequence[str | int]], str]) -> str:
    path = list(error.absolute_path)
    where = place(path)
    value = ""
    if isinstance(error.instance, str | int | float) and "password" not in path:
        text = repr(error.instance)
        value = f"{text} " if len(text) <= LONGEST_SHOWN else ""
    if error.validator == "additionalProperties":
        return f"{where} {_additional(error)}"
    reason = _REASONS.get(str(error.validator), _unlike)(error.validator_value, error.instance)
    return f"{where} {value}{reason}"


def _place(path: Sequence[str | int]) -> str:
    first, *rest = path
    return str(first)[:LONGEST_SHOWN] + "".join(f"[{part!r}]"[: LONGEST_SHOWN + 4] for part in rest)


def _type(wanted: Any, _instance: Any) -> str:
    names = [wanted] if isinstance(wanted, str) else [name for name in wanted if name != "null"]
    return f"is not of type {' or '.join(repr(name) for name in names)}"


def _required(wanted: Any, instance: Any) -> str:
    missing = [name for name in wanted if name not in instance]
    return f"needs the property {', '.join(repr(name) for name in missing)}"


def _additional(error: ValidationError) -> str:
    known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
    others = [name for name in error.instance if name not in known] if isinstance(error.instance, Mapping) else []
    allowed = f" (allowed: {', '.join(sorted(known))})" if known else ""
    return f"has a property that is not allowed here: {', '.join(repr(name)[:LONGEST_SHOWN] for name in others[:3])}{allowed}"


def _unlike(_wanted: Any, _instance: Any) -> str:
    return "is not allowed here"


_REASONS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _type,
    "required": _required,
    "minLength": lambda wanted, _: f"is too short (at least {wanted})",
    "maxLength": lambda wanted, _: f"is too long (at most {wanted} characters)",
    "minimum": lambda wanted, _: f"is less than the minimum of {wanted}",
    "maximum": lambda wanted, _: f"is greater than the maximum of {wanted}",
    "minItems": lambda wanted, _: f"needs at least {wanted} item",
    "maxItems": lambda wanted, _: f"may have at most {wanted} item",
    "minProperties": lambda *_: "must not be empty",
    "uniqueItems": lambda *_: "has the same item twice",
    "enum": lambda wanted, _: f"is not one of {', '.join(repr(name) for name in wanted if name)}",
    "pattern": lambda wanted, _: DESCRIPTIONS.get(wanted, "has a wrong form"),
}
