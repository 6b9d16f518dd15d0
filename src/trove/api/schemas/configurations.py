"""Bodies, queries and answers of configuration groups (contract 9, 6.7)."""

from trove.api.schemas.scalars import (
    ID,
    INTEGER,
    NAME,
    OPTIONAL_STRING,
    OPTIONAL_TEXT,
    STRING,
    TIME,
    Schema,
    answer,
    open_object,
    paged,
    paged_answer,
    wrapped,
)
from trove.core.parameters import NAME_CHARACTERS, TEXT_CHARACTERS

_VALUE_TYPES = ["string", "integer", "number", "boolean", "array"]
_VALUES: Schema = {
    "type": "object",
    "maxProperties": 1000,
    "additionalProperties": {"type": _VALUE_TYPES, "maxLength": TEXT_CHARACTERS, "maxItems": NAME_CHARACTERS},
}
"""By name of a parameter, in any case of letters. What each must be is the datastore version's business (422)."""

CREATE: Schema = wrapped(
    "configuration",
    open_object(
        {
            "name": NAME,
            "description": OPTIONAL_TEXT,
            "values": _VALUES,
            "datastore": open_object(
                {"type": OPTIONAL_TEXT, "version": OPTIONAL_TEXT, "version_number": OPTIONAL_TEXT}, type=["object", "null"]
            ),
        },
        required=["name", "values"],
    ),
)
UPDATE: Schema = wrapped("configuration", open_object({"name": NAME, "description": OPTIONAL_TEXT, "values": _VALUES}))
EDIT: Schema = wrapped(
    "configuration", open_object({"name": NAME, "description": OPTIONAL_TEXT, "values": _VALUES}, required=["values"])
)

_ITEM: Schema = {
    "id": ID,
    "name": STRING,
    "description": OPTIONAL_STRING,
    "created": TIME,
    "updated": TIME,
    "datastore_name": STRING,
    "datastore_version_id": ID,
    "datastore_version_name": STRING,
}
_DETAIL: Schema = {
    **_ITEM,
    "values": {"type": "object", "additionalProperties": {"type": _VALUE_TYPES}},
    "instance_count": INTEGER,
    "datastore_version_number": STRING,
}

PAGE: Schema = paged()
LISTED: Schema = paged_answer("configurations", answer(**_ITEM))
SHOWN: Schema = answer(configuration=answer(**_DETAIL))
INSTANCES: Schema = paged_answer("instances", answer(id=ID, name=STRING))
TEMPLATE: Schema = answer(
    instance=answer(configuration={"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
)
