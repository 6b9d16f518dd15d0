"""Bodies of requests and answers of the management API (contract 4.4, 13 and 14)."""

from trove.api.schemas.instance_views import DETAIL
from trove.api.schemas.scalars import (
    BOOLEAN,
    ID,
    INTEGER,
    NAME,
    NUMBER,
    OPTIONAL_STRING,
    OPTIONAL_TEXT,
    OPTIONAL_TIME,
    QUERY_FLAG,
    QUERY_TEXT,
    STRING,
    TEXT,
    TIME,
    Schema,
    answer,
    closed,
    listed,
    paged,
    paged_answer,
    parameters,
    wrapped,
)

MAX_LIMIT = 2**53

LIST_QUERY: Schema = paged(deleted=QUERY_FLAG, include_clustered=QUERY_FLAG, project_id=QUERY_TEXT)
SHOW_QUERY: Schema = parameters(deleted=QUERY_FLAG)

_EMPTY: Schema = {"type": ["object", "string", "null"], "maxLength": 0}

ACTION: Schema = {
    "type": "object",
    "properties": {
        "stop": _EMPTY,
        "reboot": _EMPTY,
        "migrate": {"type": ["object", "null"], "properties": {"host": OPTIONAL_TEXT}},
        "reset-task-status": _EMPTY,
        "rebuild": closed({"image_id": TEXT}, required=["image_id"]),
        "update": _EMPTY,
    },
    "minProperties": 1,
}
"""The handler refuses several actions, and others, naming those there are. `update` is Liberty's."""

UPGRADE: Schema = wrapped("upgrade", {"type": ["object", "null"]})
HOST_ACTION: Schema = {"type": "object", "required": ["update"]}

QUOTAS: Schema = wrapped(
    "quotas",
    {
        "type": "object",
        "properties": {"xmlns": {}},
        "additionalProperties": {"type": ["integer", "null"], "minimum": -1, "maximum": MAX_LIMIT},
    },
)

_VERSION: Schema = {
    "name": NAME,
    "datastore_manager": NAME,
    "image": OPTIONAL_TEXT,
    "image_tags": {"type": ["array", "null"], "uniqueItems": True, "maxItems": 5, "items": {"type": "string", "maxLength": 20}},
    "packages": {
        "type": ["array", "null"],
        "uniqueItems": True,
        "items": {"type": "string", "maxLength": 255, "pattern": "^[^,]*$"},
    },
    "active": BOOLEAN,
    "default": {"type": ["boolean", "null"]},
    "registry_ext": OPTIONAL_TEXT,
    "repl_strategy": OPTIONAL_TEXT,
}

CREATE_VERSION: Schema = wrapped(
    "version",
    closed(
        {**_VERSION, "datastore_name": NAME, "version": OPTIONAL_TEXT},
        required=["name", "datastore_name", "datastore_manager", "active"],
    ),
)

UPDATE_VERSION: Schema = closed(_VERSION, minProperties=1)
"""Not wrapped in `version`."""

FLAVOR: Schema = {"type": "object"}


def _more(detail: Schema, properties: dict[str, Schema]) -> Schema:
    """Return an answer that has these keys besides, or instead, and always."""
    required = [*detail["required"], *(name for name in properties if name not in detail["required"])]
    return detail | {"properties": {**detail["properties"], **properties}, "required": required}


_SERVER: Schema = {
    "type": ["object", "null"],
    "properties": {
        "id": STRING,
        "name": STRING,
        "status": OPTIONAL_STRING,
        "tenant_id": STRING,
        "host": OPTIONAL_STRING,
        "addresses": {"type": "object", "additionalProperties": listed(answer(addr=STRING, version=INTEGER))},
    },
    "required": ["id", "name", "status", "tenant_id", "host"],
    "additionalProperties": False,
}

_MORE: dict[str, Schema] = {
    "tenant_id": STRING,
    "server": _SERVER,
    "service_status": STRING,
    "deleted": BOOLEAN,
    "deleted_at": OPTIONAL_TIME,
    "task_description": STRING,
}
"""What is told of an instance beside all that its project sees."""

_ALONE: dict[str, Schema] = {
    "root_enabled": BOOLEAN,
    "root_enabled_by": OPTIONAL_STRING,
    "guest_status": answer(state_description=STRING),
    "volume": {
        "type": ["object", "null"],
        "properties": {
            "id": OPTIONAL_STRING,
            "size": INTEGER,
            "status": {"enum": ["in-use", "available"]},
            "attachments": listed(answer(server_id=OPTIONAL_STRING)),
            "availability_zone": OPTIONAL_STRING,
            "created_at": TIME,
            "used": {"type": ["number", "null"]},
            "total": {"type": ["number", "null"]},
        },
        "required": ["id"],
        "additionalProperties": False,
    },
}
"""And of one that is shown; the volume is as the cloud has it."""

INSTANCES = paged_answer("instances", _more(DETAIL, _MORE))
SHOWN = answer(instance=_more(DETAIL, {**_MORE, **_ALONE}))
ROOT_HISTORY = answer(root_history=answer(id=ID, enabled=STRING, user=STRING))
DIAGNOSTICS = answer(
    diagnostics=answer(
        version=STRING, threads=INTEGER, fdSize=INTEGER, vmSize=INTEGER, vmPeak=INTEGER, vmRss=INTEGER, vmHwm=INTEGER
    )
)
HWINFO = answer(hwinfo=answer(mem_total=INTEGER, num_cpus=INTEGER))

QUOTAS_SHOWN = answer(quotas=listed(answer(resource=STRING, in_use=INTEGER, reserved=INTEGER, limit=INTEGER)))
QUOTAS_SET = answer(quotas={"type": "object", "additionalProperties": INTEGER})

VERSION = answer(
    id=ID,
    name=STRING,
    version=STRING,
    datastore_id=ID,
    datastore_name=STRING,
    datastore_manager=STRING,
    image=STRING,
    image_tags=listed(STRING),
    packages=listed(STRING),
    active=BOOLEAN,
    default=BOOLEAN,
    registry_ext=OPTIONAL_STRING,
    repl_strategy=OPTIONAL_STRING,
)
VERSIONS = answer(versions=listed(VERSION))
VERSION_SHOWN = answer(version=VERSION)

ACCOUNTS = answer(accounts=listed(answer(id=ID, num_instances=INTEGER)))
ACCOUNT = answer(account=answer(id=ID, instance_ids=listed(ID)))
HOSTS = answer(hosts=listed(answer(name=STRING, instanceCount=INTEGER)))
HOST = answer(
    host=answer(
        name=STRING,
        percentUsed=NUMBER,
        totalRAM=INTEGER,
        usedRAM=INTEGER,
        instances=listed(answer(uuid=ID, name=STRING, tenant_id=STRING, status=STRING)),
    )
)
STORAGE = answer(
    devices=listed(
        answer(
            name=STRING,
            type=STRING,
            used=NUMBER,
            capacity=answer(total=NUMBER, available=NUMBER),
            provision=answer(total=NUMBER, available=NUMBER, percent=NUMBER),
        )
    )
)
