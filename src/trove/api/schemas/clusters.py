"""Bodies of requests and answers about clusters (contract 10 and 13.6)."""

from trove.api.schemas.instance_views import SHOWN as INSTANCE_SHOWN
from trove.api.schemas.instances import NIC
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
    REFERENCE,
    STRING,
    TEXT,
    TIME,
    UUID,
    VOLUME_SIZE,
    Schema,
    answer,
    listed,
    open_object,
    paged,
    paged_answer,
    parameters,
    wrapped,
)

_EMPTY: Schema = {"type": ["object", "null"]}
_MEMBER: Schema = {
    "flavorRef": REFERENCE,
    "volume": {
        "type": ["object", "integer"],
        "minimum": 1,
        "required": ["size"],
        "properties": {"size": VOLUME_SIZE, "type": OPTIONAL_TEXT},
    },
    "nics": {"type": ["array", "null"], "maxItems": 1, "items": NIC},
    "availability_zone": OPTIONAL_TEXT,
    "modules": {"type": ["array", "null"], "items": open_object({"id": UUID}, required=["id"])},
    "region_name": OPTIONAL_TEXT,
    "type": OPTIONAL_TEXT,
    "related_to": OPTIONAL_TEXT,
}

CREATE: Schema = wrapped(
    "cluster",
    open_object(
        {
            "name": NAME,
            "datastore": open_object({"type": TEXT, "version": TEXT}, required=["type", "version"]),
            "instances": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": open_object(_MEMBER, required=["flavorRef"]),
            },
            "locality": {"enum": ["affinity", "anti-affinity", "", None]},
            "configuration": OPTIONAL_TEXT,
            "extended_properties": {
                "type": ["object", "null"],
                "maxProperties": 20,
                "additionalProperties": {"type": ["string", "integer"], "maxLength": 255, "minimum": 0, "maximum": 1_000_000},
            },
        },
        required=["name", "datastore", "instances"],
    ),
)

ACTION: Schema = {
    "type": "object",
    "properties": {
        "grow": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": open_object({**_MEMBER, "name": {**NAME, "type": ["string", "null"]}}, required=["flavorRef"]),
        },
        "shrink": {"type": "array", "minItems": 1, "maxItems": 100, "items": open_object({"id": UUID}, required=["id"])},
        "add_shard": _EMPTY,
        "upgrade": open_object({"datastore_version": TEXT}, required=["datastore_version"]),
        "restart": _EMPTY,
        "reset-status": _EMPTY,
        "configuration_attach": open_object({"configuration_id": TEXT}, required=["configuration_id"]),
        "configuration_detach": _EMPTY,
    },
    "minProperties": 1,
}
"""The handler refuses several actions, and others, naming those there are."""

MGMT_ACTION: Schema = {"type": "object", "properties": {"reset-task": _EMPTY}, "minProperties": 1}

LIST_QUERY: Schema = paged()
MGMT_QUERY: Schema = parameters(deleted=QUERY_FLAG)

_TASK: Schema = answer(id=INTEGER, name=STRING, description=STRING)
_VALUES: Schema = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
_OPTIONAL: dict[str, Schema] = {
    "extended_properties": _VALUES,
    "locality": STRING,
    "configuration": ID,
    "fault": answer(message=STRING),
}
"""There only where there is something to say; `fault` is why the last action failed."""


def _with(required: Schema, **optional: Schema) -> Schema:
    return required | {"properties": {**required["properties"], **optional}}


_LISTED_MEMBER: Schema = _with(answer(id=ID, name=STRING, type=STRING, links=LINKS), shard_id=STRING)
_LOADED_MEMBER: Schema = _with(
    answer(id=ID, name=STRING, type=STRING, links=LINKS, status=STRING, flavor=answer(id=ID, links=LINKS)),
    shard_id=STRING,
    volume=answer(size=INTEGER),
    ip=listed(STRING),
)
_COMMON: dict[str, Schema] = {
    "id": ID,
    "name": STRING,
    "task": _TASK,
    "created": TIME,
    "updated": TIME,
    "links": LINKS,
    "datastore": answer(type=STRING, version=STRING),
}
_MGMT: dict[str, Schema] = {
    **_COMMON,
    "datastore": answer(type=OPTIONAL_STRING, version=OPTIONAL_STRING),
    "tenant_id": STRING,
    "deleted": BOOLEAN,
    "deleted_at": OPTIONAL_TIME,
}
"""The version of a cluster that is deleted may be gone, too."""


CLUSTER: Schema = _with(answer(**_COMMON, instances=listed(_LISTED_MEMBER)), **_OPTIONAL)
LOADED: Schema = _with(answer(**_COMMON, instances=listed(_LOADED_MEMBER), ip=listed(STRING)), **_OPTIONAL)

TOLD = answer(cluster=CLUSTER)
SHOWN = answer(cluster=LOADED)
MEMBER_SHOWN = INSTANCE_SHOWN
PAGE = paged_answer("clusters", CLUSTER)
MGMT_PAGE = answer(clusters=listed(_with(answer(**_MGMT, instances=listed(_LISTED_MEMBER)), **_OPTIONAL)))
MGMT_SHOWN = answer(cluster=_with(answer(**_MGMT, instances=listed(_LOADED_MEMBER), ip=listed(STRING)), **_OPTIONAL))
