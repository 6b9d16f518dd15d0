"""Requests and answers about users: no answer ever has a password."""

from trove.api.schemas.databases import NAMED
from trove.api.schemas.scalars import ACCOUNT, HOST, STRING, TEXT, Schema, answer, listed, open_object, paged_answer, wrapped

_NEW = {"name": ACCOUNT, "password": TEXT, "host": HOST, "databases": {"type": ["array", "null"], "items": NAMED}}

USER: Schema = open_object(_NEW, required=["name", "password"])

CREATE: Schema = wrapped("users", {"type": "array", "minItems": 1, "items": USER})

CREATE_NAMED: Schema = wrapped("users", open_object(_NEW, required=["password"]))
"""`POST /users/{name}` of openstacksdk: one object under the plural key."""

CHANGE_PASSWORDS: Schema = wrapped("users", {"type": "array", "minItems": 1, "items": USER})

UPDATE: Schema = wrapped(
    "user",
    open_object(
        {"name": {**ACCOUNT, "type": ["string", "null"]}, "password": {**TEXT, "type": ["string", "null"]}, "host": HOST},
        minProperties=1,
    ),
)

_SHOWN = answer(name=STRING, host=STRING, databases=listed(answer(name=STRING)))
SHOWN = answer(user=_SHOWN)
PAGE = paged_answer("users", _SHOWN)
