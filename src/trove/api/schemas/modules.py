"""Bodies, queries and answers of modules (contract 11)."""

from trove.api.schemas.instance_views import SUMMARY
from trove.api.schemas.scalars import (
    BOOLEAN,
    ID,
    INTEGER,
    LINKS,
    NAME,
    OPTIONAL_STRING,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
    QUERY_FLAG,
    QUERY_TEXT,
    STRING,
    TEXT,
    TIME,
    UUID,
    Schema,
    answer,
    listed,
    open_object,
    paged,
    parameters,
    wrapped,
)
from trove.core.modules import FIRST_ORDER, LAST_ORDER

MOST_CHARACTERS = 256 * 1024
"""Of contents, in base64."""
MOST_AT_ONCE = 50

_FLAG: Schema = {"type": ["boolean", "integer"], "minimum": 0, "maximum": 1}
"""Clients send 0 and 1."""
_CONTENTS: Schema = {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}
_OPTIONS: dict[str, Schema] = {
    "description": OPTIONAL_TEXT,
    "datastore": open_object({"type": OPTIONAL_TEXT, "version": OPTIONAL_TEXT}, type=["object", "null"]),
    "auto_apply": _FLAG,
    "all_tenants": _FLAG,
    "visible": _FLAG,
    "live_update": _FLAG,
    "priority_apply": _FLAG,
    "full_access": _FLAG,
    "apply_order": {"type": "integer", "minimum": FIRST_ORDER, "maximum": LAST_ORDER},
}

CREATE: Schema = wrapped(
    "module",
    open_object(
        {"name": NAME, "module_type": TEXT, "contents": _CONTENTS, **_OPTIONS}, required=["name", "module_type", "contents"]
    ),
)
UPDATE: Schema = wrapped(
    "module",
    open_object(
        {
            "name": NAME,
            "type": TEXT,
            "module_type": TEXT,
            "contents": _CONTENTS,
            "all_datastores": _FLAG,
            "all_datastore_versions": _FLAG,
            **_OPTIONS,
        }
    ),
)
"""The type has two names, for clients send the first."""
REAPPLY: Schema = wrapped(
    "reapply",
    open_object(
        {
            "md5": {"type": ["string", "null"], "pattern": "^[0-9A-Fa-f]{32}$"},
            "include_clustered": _FLAG,
            "batch_size": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
            "batch_delay": {"type": ["integer", "null"], "minimum": 0, "maximum": 86_400},
            "force": _FLAG,
        }
    ),
)
APPLY: Schema = {
    "type": "object",
    "required": ["modules"],
    "properties": {
        "modules": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_AT_ONCE,
            "items": open_object({"id": UUID}, required=["id"]),
        }
    },
}

LIST_QUERY: Schema = paged(datastore={**QUERY_TEXT, "description": "Id or name of a datastore; all: modules for all of them."})
INSTANCES_QUERY: Schema = paged(include_clustered=QUERY_FLAG, count_only=QUERY_FLAG)
ON_INSTANCE_QUERY: Schema = parameters(from_guest=QUERY_FLAG, include_contents=QUERY_FLAG)

_ITEM: dict[str, Schema] = {
    "id": ID,
    "name": STRING,
    "type": STRING,
    "description": OPTIONAL_STRING,
    "tenant_id": OPTIONAL_STRING,
    "tenant": STRING,
    "datastore_id": OPTIONAL_STRING,
    "datastore": STRING,
    "datastore_version_id": OPTIONAL_STRING,
    "datastore_version": STRING,
    "auto_apply": BOOLEAN,
    "priority_apply": BOOLEAN,
    "apply_order": INTEGER,
    "is_admin": BOOLEAN,
    "visible": BOOLEAN,
    "md5": STRING,
    "created": TIME,
    "updated": TIME,
}

_PAGE: Schema = answer(modules=listed(answer(**_ITEM)))
LISTED: Schema = _PAGE | {"properties": {**_PAGE["properties"], "links": LINKS, "modules_links": LINKS}}
SHOWN: Schema = answer(module=answer(**_ITEM, live_update=BOOLEAN, instance_count=INTEGER))

_COUNT: dict[str, Schema] = {
    "module_name": STRING,
    "module_id": ID,
    "module_md5": OPTIONAL_STRING,
    "instance_count": INTEGER,
    "current": BOOLEAN,
    "min_updated_date": TIME,
    "max_updated_date": TIME,
}
_COUNTED: Schema = {
    "type": "object",
    "properties": {**SUMMARY["properties"], **_COUNT},
    "additionalProperties": False,
}
INSTANCES: Schema = {
    "type": "object",
    "properties": {"instances": listed(_COUNTED), "links": LINKS, "instances_links": LINKS},
    "required": ["instances"],
    "additionalProperties": False,
}
"""Instances as lists have them, or with `count_only` one count for each contents that they have."""

ON_INSTANCE: Schema = answer(
    modules=listed(
        answer(
            id=ID,
            name=STRING,
            type=STRING,
            datastore=STRING,
            datastore_version=STRING,
            tenant=STRING,
            md5=OPTIONAL_STRING,
            status={"enum": ["OK", "ERROR"]},
            message=OPTIONAL_STRING,
            created=TIME,
            updated=TIME,
            removed=OPTIONAL_TIME,
            auto_apply=BOOLEAN,
            visible=BOOLEAN,
            is_admin=BOOLEAN,
            contents=OPTIONAL_STRING,
        )
    )
)
"""`contents` is base64: null unless asked for, empty where only administrators may see it."""
