"""Requests and answers about the superuser."""

from trove.api.schemas.scalars import BOOLEAN, STRING, TEXT, Schema, answer, open_object

ENABLE: Schema = open_object({"password": {**TEXT, "type": ["string", "null"]}})

ENABLED = answer(user=answer(name=STRING, password=STRING))
"""The only answer with a password, which is shown this once."""
SHOWN = answer(rootEnabled=BOOLEAN)
