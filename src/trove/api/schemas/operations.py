"""Requests and answers about operations."""

from trove.api.schemas.scalars import (
    BOOLEAN,
    ID,
    INTEGER,
    OPTIONAL_STRING,
    OPTIONAL_TIME,
    QUERY_FLAG,
    QUERY_TEXT,
    QUERY_UUID,
    STRING,
    TIME,
    Schema,
    answer,
    paged,
    paged_answer,
)
from trove.core.operations import OperationState

ACTION: Schema = {
    "type": "object",
    "properties": {"cancel": {"type": ["object", "null"], "properties": {}, "additionalProperties": False}},
    "minProperties": 1,
}
"""The handler refuses other actions, naming those there are."""

_FILTERS = {"state": QUERY_TEXT, "kind": QUERY_TEXT}
OF_INSTANCE = paged(**_FILTERS)
LIST = paged(**_FILTERS, resource_id=QUERY_UUID, all_projects=QUERY_FLAG, project_id=QUERY_TEXT)
"""The handlers refuse other parameters: a mistyped filter would show too much."""

OPERATION = answer(
    id=ID,
    kind=STRING,
    resource_type=STRING,
    resource_id=STRING,
    tenant_id=STRING,
    state={"enum": [state.value for state in OperationState]},
    step=OPTIONAL_STRING,
    percent=INTEGER,
    attempts=INTEGER,
    cancel_requested=BOOLEAN,
    cancellable=BOOLEAN,
    request_id=OPTIONAL_STRING,
    created=TIME,
    started=OPTIONAL_TIME,
    updated=TIME,
    finished=OPTIONAL_TIME,
    deadline=TIME,
    error=OPTIONAL_STRING,
)
OPERATION["properties"] |= {
    "user_id": OPTIONAL_STRING,
    "owner": OPTIONAL_STRING,
    "args": {"type": "object", "additionalProperties": True},
}
"""The last three are for administrators."""

SHOWN = answer(operation=OPERATION)
PAGE = paged_answer("operations", OPERATION)
