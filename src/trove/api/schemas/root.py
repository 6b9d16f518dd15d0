"""Bodies of requests about the superuser."""

from trove.api.schemas.scalars import TEXT, Schema, open_object

ENABLE: Schema = open_object({"password": {**TEXT, "type": ["string", "null"]}})
