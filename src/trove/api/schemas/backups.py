"""Bodies of requests and answers about backups and their strategies (contract 8)."""

from trove.api.schemas.scalars import (
    CONTAINER,
    ID,
    OPTIONAL_STRING,
    OPTIONAL_TEXT,
    OPTIONAL_UUID,
    QUERY_FLAG,
    QUERY_TEXT,
    QUERY_UUID,
    STRING,
    TEXT,
    TIME,
    UUID,
    Schema,
    answer,
    closed,
    listed,
    open_object,
    paged,
    paged_answer,
    parameters,
    wrapped,
)

CREATE: Schema = wrapped(
    "backup",
    open_object(
        {
            "name": TEXT,
            "description": OPTIONAL_TEXT,
            "instance": OPTIONAL_UUID,
            "parent_id": OPTIONAL_UUID,
            "incremental": {"type": ["integer", "boolean", "null"], "minimum": 0, "maximum": 1},
            "swift_container": CONTAINER,
            "storage_driver": {"enum": ["swift", "cinder", None]},
            "restore_from": {
                "type": ["object", "null"],
                "required": ["remote_location", "local_datastore_version_id", "size"],
                "properties": {
                    "remote_location": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "local_datastore_version_id": UUID,
                    "size": {"type": "number", "minimum": 0, "maximum": 1_000_000},
                },
            },
        },
        required=["name"],
    ),
)

PUT_STRATEGY: Schema = wrapped(
    "backup_strategy",
    closed({"instance_id": OPTIONAL_UUID, "swift_container": {**CONTAINER, "type": "string"}}, required=["swift_container"]),
)

LIST_QUERY: Schema = paged(datastore=QUERY_TEXT, instance_id=QUERY_UUID, project_id=QUERY_TEXT, all_projects=QUERY_FLAG)
OF_INSTANCE_QUERY: Schema = paged()
STRATEGY_QUERY: Schema = parameters(instance_id=QUERY_UUID, project_id=QUERY_TEXT)

_FAULT: Schema = {"type": ["object", "null"], "properties": {"message": STRING, "created": TIME}, "additionalProperties": False}

BACKUP: Schema = answer(
    id=ID,
    name=STRING,
    description=OPTIONAL_STRING,
    locationRef=OPTIONAL_STRING,
    instance_id=OPTIONAL_STRING,
    created=TIME,
    updated=TIME,
    size={"type": ["number", "null"]},
    status={"enum": ["NEW", "BUILDING", "SAVING", "COMPLETED", "FAILED", "RESTORED", "DELETE_FAILED"]},
    parent_id=OPTIONAL_STRING,
    project_id=STRING,
    datastore={
        "type": ["object", "null"],
        "properties": {"type": STRING, "version": STRING, "version_id": ID},
        "additionalProperties": False,
    },
)
BACKUP["properties"]["fault"] = _FAULT
"""Why it failed; there only when it did."""

STRATEGY: Schema = answer(project_id=STRING, instance_id=STRING, backend=STRING, swift_container=STRING)

SHOWN = answer(backup=BACKUP)
PAGE = paged_answer("backups", BACKUP)
STRATEGY_SHOWN = answer(backup_strategy=STRATEGY)
STRATEGIES = answer(backup_strategies=listed(STRATEGY))
