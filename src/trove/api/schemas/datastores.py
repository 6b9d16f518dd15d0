"""Answers about datastores and their versions (contract 4.2 and 5.1)."""

from trove.api.schemas.scalars import BOOLEAN, ID, LINKS, OPTIONAL_STRING, STRING, Schema, answer, closed, listed

_VERSION: Schema = {
    "id": ID,
    "name": STRING,
    "version": STRING,
    "links": LINKS,
    "active": BOOLEAN,
    "packages": STRING,
    "image": OPTIONAL_STRING,
    "image_tags": listed(STRING),
    "registry_ext": OPTIONAL_STRING,
    "repl_strategy": OPTIONAL_STRING,
}
"""From `active` on: for administrators."""

_NESTED: Schema = closed(_VERSION, required=["id", "name", "version", "links"])

VERSION: Schema = closed({**_VERSION, "datastore": ID}, required=["id", "name", "version", "links", "datastore"])

DATASTORE: Schema = closed(
    {"id": ID, "name": STRING, "default_version": ID, "links": LINKS, "versions": listed(_NESTED)},
    required=["id", "name", "links", "versions"],
)

LIST = answer(datastores=listed(DATASTORE))
SHOWN = answer(datastore=DATASTORE)
VERSIONS = answer(versions=listed(VERSION))
VERSION_SHOWN = answer(version=VERSION)
VOLUME_TYPES = answer(volume_types=listed(answer(id=ID, name=STRING, is_public=BOOLEAN, description=OPTIONAL_STRING)))
