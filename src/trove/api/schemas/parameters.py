"""Bodies and answers of the parameters that configuration groups may set (contract 5.4, 13.8)."""

from typing import Any

from trove.api.schemas.scalars import BOOLEAN, ID, NUMBER, STRING, Schema, answer, listed, open_object, wrapped
from trove.core.parameters import NAME_CHARACTERS, ParameterType

NAME_PATTERN = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS, "pattern": NAME_PATTERN}
_BOUND: Schema = {"type": ["number", "string", "null"], "maxLength": 40, "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_PROPERTIES: Schema = {
    "name": _NAME,
    "data_type": {"enum": [each.value for each in ParameterType]},
    "restart_required": {"type": ["integer", "boolean"], "minimum": 0, "maximum": 1},
    "min_size": _BOUND,
    "max_size": _BOUND,
    "min": _BOUND,
    "max": _BOUND,
}

CREATE: Schema = wrapped(
    "configuration-parameter", open_object(_PROPERTIES, required=["name", "data_type", "restart_required"])
)
UPDATE: Schema = wrapped("configuration-parameter", open_object(_PROPERTIES, required=["data_type", "restart_required"]))


def _shown(**bounds: Any) -> Schema:
    schema = answer(name=STRING, datastore_version_id=ID, restart_required=BOOLEAN, type=STRING)
    return schema | {"properties": {**schema["properties"], **bounds}}


SHOWN: Schema = _shown(min=NUMBER, max=NUMBER)
LISTED: Schema = answer(**{"configuration-parameters": listed(SHOWN)})
MANAGED: Schema = _shown(min=NUMBER, max=NUMBER, min_size=NUMBER, max_size=NUMBER)
MANAGED_LIST: Schema = answer(**{"configuration-parameters": listed(MANAGED)})
