"""Bodies and answers of the logs of an instance (contract 12.1)."""

from trove.api.schemas.scalars import INTEGER, STRING, TEXT, Schema, answer, listed, open_object
from trove.core.logs import LogStatus, LogType

_FLAG: Schema = {"type": ["boolean", "integer"], "minimum": 0, "maximum": 1}

ACT: Schema = open_object(
    {"name": TEXT, "enable": _FLAG, "disable": _FLAG, "publish": _FLAG, "discard": _FLAG}, required=["name"]
)
"""A name alone shows the log."""

_LOG = answer(
    name=STRING,
    type={"enum": [each.value for each in LogType]},
    status={"enum": [each.value for each in LogStatus]},
    published=INTEGER,
    pending=INTEGER,
    container=STRING,
    prefix=STRING,
    metafile=STRING,
)
"""`published` and `pending` are bytes. `container` and `prefix` are the word None while nothing is published."""

LISTED: Schema = answer(logs=listed(_LOG))
SHOWN: Schema = answer(log=_LOG)
