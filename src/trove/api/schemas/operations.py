"""Bodies of requests about operations."""

from trove.api.schemas.scalars import Schema

ACTION: Schema = {
    "type": "object",
    "properties": {"cancel": {"type": ["object", "null"], "properties": {}, "additionalProperties": False}},
    "minProperties": 1,
}
"""The handler refuses other actions, naming those there are."""
