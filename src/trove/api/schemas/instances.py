"""Bodies and queries of requests about instances (contract 6)."""

from trove.api.schemas.databases import DATABASE
from trove.api.schemas.scalars import (
    CIDR_PATTERN,
    IPV4,
    NAME,
    OPTIONAL_TEXT,
    OPTIONAL_UUID,
    QUERY_FLAG,
    REFERENCE,
    UUID,
    VOLUME_SIZE,
    Schema,
    closed,
    open_object,
    paged,
    wrapped,
)
from trove.api.schemas.users import USER

ACCESS: Schema = closed(
    {
        "is_public": {"type": ["boolean", "null"]},
        "allowed_cidrs": {"type": ["array", "null"], "uniqueItems": True, "items": {"type": "string", "pattern": CIDR_PATTERN}},
    }
)

NIC: Schema = closed(
    {
        "net-id": OPTIONAL_UUID,
        "network_id": OPTIONAL_UUID,
        "subnet_id": OPTIONAL_UUID,
        "ip_address": IPV4,
        "v4-fixed-ip": IPV4,
        "port-id": OPTIONAL_UUID,
    }
)
"""The last two are Heat's names."""

LIST = paged(include_clustered=QUERY_FLAG)

CREATE: Schema = wrapped(
    "instance",
    open_object(
        {
            "name": NAME,
            "flavorRef": REFERENCE,
            "flavor": {
                "type": ["string", "integer", "object"],
                "minLength": 1,
                "maxLength": 255,
                "properties": {"id": REFERENCE},
            },
            "volume": {
                "type": ["object", "integer"],
                "minimum": 1,
                "required": ["size"],
                "properties": {"size": VOLUME_SIZE, "type": OPTIONAL_TEXT},
            },
            "datastore": open_object({"type": OPTIONAL_TEXT, "version": OPTIONAL_TEXT, "version_number": OPTIONAL_TEXT}),
            "databases": {"type": ["array", "null"], "items": DATABASE},
            "users": {"type": ["array", "null"], "items": USER},
            "restorePoint": {
                "type": ["object", "null"],
                "required": ["backupRef"],
                "properties": {"backupRef": {"type": "string", "minLength": 1, "maxLength": 1024}},
            },
            "replica_of": OPTIONAL_UUID,
            "slave_of": OPTIONAL_UUID,
            "replica_count": {"type": ["integer", "null"], "minimum": 1, "maximum": 3},
            "availability_zone": OPTIONAL_TEXT,
            "nics": {"type": ["array", "null"], "maxItems": 1, "items": NIC},
            "configuration": OPTIONAL_TEXT,
            "modules": {"type": ["array", "null"], "items": open_object({"id": UUID}, required=["id"])},
            "locality": {"enum": [None, "", "affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]},
            "region_name": OPTIONAL_TEXT,
            "access": {**ACCESS, "type": ["object", "null"]},
        },
        required=["name"],
    ),
)

UPDATE: Schema = wrapped(
    "instance",
    closed(
        {
            "name": NAME,
            "replica_of": OPTIONAL_TEXT,
            "slave_of": OPTIONAL_TEXT,
            "configuration": OPTIONAL_TEXT,
            "datastore_version": NAME,
            "backup_before_upgrade": {"type": "boolean"},
            "access": ACCESS,
        }
    ),
)

_EMPTY: Schema = {"type": ["object", "null"]}

ACTION: Schema = {
    "type": "object",
    "properties": {
        "restart": _EMPTY,
        "reset_status": _EMPTY,
        "reset_password": _EMPTY,
        "promote_to_replica_source": _EMPTY,
        "eject_replica_source": _EMPTY,
        "rejoin": {**closed({"source": UUID, "rebuild": {"type": "boolean"}}), "required": ["source"]},
        "resize": closed(
            {
                "flavorRef": REFERENCE,
                "volume": {
                    "type": ["object", "integer"],
                    "minimum": 1,
                    "required": ["size"],
                    "properties": {"size": VOLUME_SIZE},
                },
            },
            minProperties=1,
        ),
    },
    "minProperties": 1,
}
