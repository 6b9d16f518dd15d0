"""Bodies of requests and answers about security groups (contract 14)."""

from trove.api.schemas.scalars import (
    CIDR_PATTERN,
    ID,
    INTEGER,
    LINKS,
    STRING,
    TIME,
    UUID,
    Schema,
    answer,
    closed,
    listed,
    paged,
    paged_answer,
    wrapped,
)

LIST_QUERY: Schema = paged()

CREATE_RULE: Schema = wrapped(
    "security_group_rule",
    closed({"group_id": UUID, "cidr": {"type": "string", "pattern": CIDR_PATTERN}}, required=["group_id", "cidr"]),
)

GROUP = answer(
    id=ID,
    name=STRING,
    description=STRING,
    instance_id=ID,
    rules=listed(answer(id=ID, protocol=STRING, from_port=INTEGER, to_port=INTEGER, cidr=STRING)),
    links=LINKS,
    created=TIME,
    updated=TIME,
)
GROUPS = paged_answer("security_groups", GROUP)
SHOWN = answer(security_group=GROUP)
RULES_MADE = answer(
    security_group_rule=listed(
        answer(id=ID, security_group_id=ID, protocol=STRING, from_port=INTEGER, to_port=INTEGER, cidr=STRING, created=TIME)
    )
)
