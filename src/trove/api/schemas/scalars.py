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
CONTAINER: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9@%+=:,._-]+$"}
"""Container of an object store: what a POSIX shell reads as one plain word, without the slash, which no container may have."""
IPV4: Schema = {"type": ["string", "null"], "pattern": IPV4_PATTERN}
HOST: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": r"^[^\s@]+$"}

TIME_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"

ID: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "pattern": TIME_PATTERN}
OPTIONAL_TIME: Schema = {"type": ["string", "null"], "pattern": TIME_PATTERN}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
OPTIONAL_NUMBER: Schema = {"type": ["number", "null"]}
STRING: Schema = {"type": "string"}
OPTIONAL_STRING: Schema = {"type": ["string", "null"]}
"""The last eight are what answers are made of."""

QUERY_LIMIT: Schema = {
    "type": "string",
    "pattern": "^[0-9]{0,18}$",
    "description": "How many items a page has; at most the operator's page size, which is also what 0 means.",
}
QUERY_MARKER: Schema = {"type": "string", "description": "The last item of the page before, as its next link has it."}
QUERY_OFFSET: Schema = {**QUERY_LIMIT, "description": "How many items come before this page, as the next link has it."}
QUERY_UUID: Schema = {"type": "string", "pattern": f"^$|{UUID_PATTERN}"}
QUERY_TEXT: Schema = {"type": "string", "maxLength": 255}
QUERY_FLAG: Schema = {
    "type": "string",
    "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|0|1)?$",
}
"""Query parameters: all are text, and an empty one is as good as none. `QUERY_OFFSET` is a marker that is a number."""

DESCRIPTIONS = {
    UUID_PATTERN: "is not a UUID",
    IPV4_PATTERN: "is not an IPv4 address",
    CIDR_PATTERN: "is not an IPv4 address or network",
    NAME["pattern"]: "needs at least one letter or digit",
    ACCOUNT["pattern"]: "must not hold / nor be . or .., because a URL could not name it",
    VOLUME_SIZE["pattern"]: "is not a whole number above 0",
    CONTAINER["pattern"]: "may hold letters, digits and @ % + = : , . _ - only",
    HOST["pattern"]: "must not hold spaces or @",
    QUERY_LIMIT["pattern"]: "is not a whole number of 0 or more",
    QUERY_UUID["pattern"]: "is not a UUID",
    QUERY_FLAG["pattern"]: "is not true or false",
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


def answer(**properties: Schema) -> Schema:
    """Return the body of an answer that has exactly these keys, all of them always."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def listed(item: Schema) -> Schema:
    """Return a list of such items."""
    return {"type": "array", "items": item}


LINKS: Schema = listed(answer(rel={"enum": ["self", "bookmark", "next"]}, href=STRING))


def paged_answer(key: str, item: Schema) -> Schema:
    """Return the body of a page of `key`: the items, and links when there is a next page."""
    page = answer(**{key: listed(item)})
    return page | {"properties": {**page["properties"], "links": LINKS, f"{key}_links": LINKS}}


def parameters(**properties: Schema) -> Schema:
    """Return the schema of a query. Other parameters are ignored, because clients send many."""
    return {"type": "object", "properties": properties}


def paged(**properties: Schema) -> Schema:
    """Return the schema of the query of a list that comes in pages, with its filters."""
    return parameters(limit=QUERY_LIMIT, marker=QUERY_MARKER, **properties)
