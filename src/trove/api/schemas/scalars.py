"""The scalar types that requests are made of (contract appendix B), as JSON Schema draft 4."""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

UUID_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
IPV4_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$"
CIDR_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/([0-9]|[12][0-9]|3[0-2]))?$"

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "[0-9A-Za-z]"}
TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
OPTIONAL_TEXT: Schema = {"type": ["string", "null"], "maxLength": 255}
ACCOUNT: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^(?!\.{1,2}$)[^/]*$"}
"""Name of a database or user: what a path of the API can carry. The engine's own rules come on top."""
UUID: Schema = {"type": "string", "pattern": UUID_PATTERN}
OPTIONAL_UUID: Schema = {"type": ["string", "null"], "pattern": UUID_PATTERN}
REFERENCE: Schema = {"type": ["string", "integer"], "minLength": 1, "maxLength": 255, "minimum": 0}
VOLUME_SIZE: Schema = {"type": ["integer", "string"], "minimum": 1, "maxLength": 40, "pattern": "^0*[1-9][0-9]*$"}
IPV4: Schema = {"type": ["string", "null"], "pattern": IPV4_PATTERN}
HOST: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": r"^[^\s@]+$"}

DESCRIPTIONS = {
    UUID_PATTERN: "is not a UUID",
    IPV4_PATTERN: "is not an IPv4 address",
    CIDR_PATTERN: "is not an IPv4 address or network",
    NAME["pattern"]: "needs at least one letter or digit",
    ACCOUNT["pattern"]: "must not hold / nor be . or .., because a URL could not name it",
    VOLUME_SIZE["pattern"]: "is not a whole number above 0",
    HOST["pattern"]: "must not hold spaces or @",
}
"""What each pattern means, for people."""


def closed(properties: Schema, **rest: Any) -> Schema:
    """Return an object that allows no other keys."""
    return {"type": "object", "properties": properties, "additionalProperties": False, **rest}


def open_object(properties: Schema, **rest: Any) -> Schema:
    """Return an object that ignores other keys."""
    return {"type": "object", "properties": properties, **rest}


def wrapped(key: str, inner: Schema) -> Schema:
    """Return the request body `{key: inner}`."""
    return {"type": "object", "required": [key], "properties": {key: inner}}
