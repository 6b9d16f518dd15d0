"""How limits are answered: the first entry has the quotas, each further one a rate."""

from trove.api.schemas.scalars import INTEGER, STRING, Schema, answer, listed

_LIMIT: Schema = {
    "type": "object",
    "required": ["verb"],
    "properties": {
        "verb": {"enum": ["ABSOLUTE", "GET", "POST", "PUT", "PATCH", "DELETE"]},
        "max_instances": INTEGER,
        "max_volumes": INTEGER,
        "max_backups": INTEGER,
        "max_ram": INTEGER,
        "uri": STRING,
        "regex": STRING,
        "value": INTEGER,
        "unit": {"enum": ["MINUTE"]},
        "remaining": INTEGER,
        "nextAvailable": STRING,
    },
    "additionalProperties": False,
}

LIST = answer(limits=listed(_LIMIT))
