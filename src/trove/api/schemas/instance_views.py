"""How instances are answered (contract 6.2)."""

from trove.api.schemas.scalars import (
    BOOLEAN,
    ID,
    INTEGER,
    LINKS,
    NUMBER,
    OPTIONAL_NUMBER,
    OPTIONAL_STRING,
    STRING,
    TIME,
    Schema,
    answer,
    listed,
    paged_answer,
)


def _with(required: Schema, **optional: Schema) -> Schema:
    """Return an answer that has more keys now and then."""
    return required | {"properties": {**required["properties"], **optional}}


_OTHER = answer(id=ID, links=LINKS)
_ADDRESS = _with(answer(address=STRING, type={"enum": ["private", "public"]}), network=STRING)
_ACCESS = _with(answer(), is_public=BOOLEAN, allowed_cidrs=listed(STRING))

_ALWAYS: dict[str, Schema] = {
    "id": ID,
    "name": STRING,
    "status": STRING,
    "operating_status": STRING,
    "links": LINKS,
    "flavor": _OTHER,
    "region": OPTIONAL_STRING,
    "access": _ACCESS,
}
_SOMETIMES: dict[str, Schema] = {
    "hostname": STRING,
    "ip": listed(STRING),
    "addresses": listed(_ADDRESS),
    "replica_of": _OTHER,
    "replicas": listed(_OTHER),
    "tenant_id": STRING,
}
_FAULT = answer(message=STRING, created=TIME, details=OPTIONAL_STRING)
_DETAILS: dict[str, Schema] = {
    "fault": _FAULT,
    "configuration": answer(id=ID, name=OPTIONAL_STRING, links=LINKS),
    "cluster_id": STRING,
    "replication": answer(following=BOOLEAN, lag_s=OPTIONAL_NUMBER, problem=OPTIONAL_STRING),
    "shard_id": STRING,
    "locality": STRING,
    "server_id": OPTIONAL_STRING,
    "volume_id": OPTIONAL_STRING,
    "encrypted_rpc_messaging": BOOLEAN,
    "password": STRING,
}

SUMMARY = _with(answer(**_ALWAYS, datastore=answer(type=STRING, version=STRING)), **_SOMETIMES, volume=answer(size=INTEGER))

DETAIL = _with(
    answer(
        **_ALWAYS,
        datastore=answer(type=STRING, version=STRING, version_number=STRING),
        created=TIME,
        updated=TIME,
        service_status_updated=TIME,
    ),
    **_SOMETIMES,
    **_DETAILS,
    volume=_with(answer(size=INTEGER), used=NUMBER, used_percent=NUMBER, used_at=TIME),
)
"""`volume.used` (GiB) is what the guest reported last, at `used_at`. `password` is the superuser's, shown once, at creation.
`replication` is what the guest of a replica reported last; null for `lag_s` where the delay cannot be told."""

PAGE = paged_answer("instances", SUMMARY)
DETAILED_PAGE = paged_answer("instances", DETAIL)
SHOWN = answer(instance=DETAIL)
CREATED = SHOWN
