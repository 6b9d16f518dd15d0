"""Bodies, query and answers of the TLS of an instance (contract 12.2)."""

from trove.api.schemas.scalars import (
    BOOLEAN,
    OPTIONAL_TEXT,
    QUERY_FLAG,
    STRING,
    Schema,
    answer,
    open_object,
    parameters,
    wrapped,
)

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
SHOWN: Schema = answer(ssl=answer(status={"enum": ["on", "off"]}, mode=STRING))
CHANGED: Schema = answer(ssl=answer(restart_required=BOOLEAN))
