"""Bodies, query and answers of the TLS of an instance (contract 12.2)."""

from trove.api.schemas.scalars import (
    BOOLEAN,
    OPTIONAL_STRING,
    OPTIONAL_TEXT,
    QUERY_FLAG,
    STRING,
    Schema,
    answer,
    open_object,
    parameters,
    wrapped,
)


def _with(known: Schema, **properties: Schema) -> Schema:
    """Return the body of an answer that may have these keys, too."""
    return {**known, "properties": {**known["properties"], **properties}}


_FLAG: Schema = {"type": ["boolean", "integer", "null"], "minimum": 0, "maximum": 1}

CHANGE: Schema = wrapped(
    "ssl",
    open_object(
        {
            "enable": _FLAG,
            "disable": _FLAG,
            "rollback": _FLAG,
            "container_ref": OPTIONAL_TEXT,
            "password_ref": OPTIONAL_TEXT,
            "mode": {"enum": ["basic", "enforced", "mtls", None]},
        }
    ),
)
SHOW_QUERY: Schema = parameters(include_certificate=QUERY_FLAG)
_CERTIFICATE = answer(cn=OPTIONAL_STRING, expire_at=STRING, san={"type": ["array", "null"], "items": STRING})
_SHOWN = answer(status={"enum": ["on", "off"]}, mode=STRING)
_CHANGED = answer(restart_required=BOOLEAN)
SHOWN: Schema = answer(
    ssl=_with(_SHOWN, certificate=_with(_CERTIFICATE, payload=STRING)),
)
CHANGED: Schema = answer(
    ssl=_with(_CHANGED, status={"enum": ["on", "off"]}, mode={"enum": ["basic", "enforced", "mtls", None]}),
)
