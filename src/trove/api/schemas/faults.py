"""What every fault looks like (contract 1.3)."""

from trove.api.schemas.scalars import INTEGER, STRING, Schema

FAULT: Schema = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": INTEGER, "message": STRING, "details": STRING, "retryAfter": STRING},
        "additionalProperties": False,
    },
    "minProperties": 1,
    "maxProperties": 1,
}
"""The one key names the fault. `details` and `retryAfter`, in seconds, are those of a rate limit."""
