"""Checks a body against its schema and says in one sentence all that is wrong, without ever repeating a password."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError

from trove.api.schemas.scalars import DESCRIPTIONS, Schema
from trove.core.errors import InvalidInput
from trove.core.json import JSON

MAX_REPORTED = 10
LONGEST_SHOWN = 64


class Validator:
    """One compiled schema."""

    def __init__(self, schema: Schema) -> None:
        Draft4Validator.check_schema(schema)
        self.schema = schema
        self._validator = Draft4Validator(schema)

    def check(self, body: JSON) -> None:
        """Raise `InvalidInput` naming each wrong field as `path reason`, joined by `; `."""
        if self._validator.is_valid(body):
            return
        found = [_sentence(error) for error in self._validator.iter_errors(body)]
        more = f"; and {len(found) - MAX_REPORTED} more" if len(found) > MAX_REPORTED else ""
        raise InvalidInput("Validation error: " + "; ".join(found[:MAX_REPORTED]) + more + ".")


def _sentence(error: ValidationError) -> str:
    path = list(error.absolute_path)
    where = _place(path)
    value = ""
    if isinstance(error.instance, str | int | float) and "password" not in path:
        text = repr(error.instance)
        value = f"{text} " if len(text) <= LONGEST_SHOWN else ""
    reason = _REASONS.get(str(error.validator), _unlike)(error.validator_value, error.instance)
    return f"{where} {value}{reason}"


def _place(path: Sequence[str | int]) -> str:
    if not path:
        return "the request body"
    first, *rest = path
    return str(first)[:LONGEST_SHOWN] + "".join(f"[{part!r}]"[: LONGEST_SHOWN + 4] for part in rest)


def _type(wanted: Any, _instance: Any) -> str:
    names = [wanted] if isinstance(wanted, str) else [name for name in wanted if name != "null"]
    return f"is not of type {' or '.join(repr(name) for name in names)}"


def _required(wanted: Any, instance: Any) -> str:
    missing = [name for name in wanted if name not in instance]
    return f"needs the property {', '.join(repr(name) for name in missing)}"


def _additional(_wanted: Any, _instance: Any) -> str:
    return "has a property that is not allowed here"


def _unlike(_wanted: Any, _instance: Any) -> str:
    return "is not allowed here"


_REASONS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _additional,
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
