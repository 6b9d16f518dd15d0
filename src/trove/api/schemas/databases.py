"""Requests and answers about databases."""

from trove.api.schemas.scalars import ACCOUNT, OPTIONAL_TEXT, STRING, Schema, answer, listed, open_object, paged_answer

DATABASE: Schema = open_object({"name": ACCOUNT, "character_set": OPTIONAL_TEXT, "collate": OPTIONAL_TEXT}, required=["name"])

NAMED: Schema = {"type": ["object", "string"], **{key: ACCOUNT[key] for key in ("minLength", "maxLength", "pattern")}}
NAMED |= {"properties": {"name": ACCOUNT}, "required": ["name"]}

CREATE: Schema = {
    "type": "object",
    "properties": {"databases": {"type": "array", "minItems": 1, "items": DATABASE}, "database": DATABASE},
    "minProperties": 1,
}
"""`databases`, or `database` as openstacksdk sends."""

GRANT: Schema = {
    "type": "object",
    "required": ["databases"],
    "properties": {"databases": {"type": "array", "minItems": 1, "items": NAMED}},
}

NAMES = answer(databases=listed(answer(name=STRING)))
PAGE = paged_answer("databases", answer(name=STRING))
