"""What one line of the HTTP surface says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trove.api.request import Request
from trove.api.schemas.scalars import Schema

INSTANCE = "/instances/{instance_id}"
VERSION = "/datastores/{datastore}/versions/{version}"
VERSION_BY_ID = "/datastores/versions/{version_id}"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the surface below `/v1.0/{project_id}`.

    `rule` None: the handler asks the policy itself. `schema` is that of the body, None: no body is read; `optional`: it may be
    missing. `query` is the schema of the query parameters, all of them text; None: none is read, and any is ignored. `answer`
    is the schema of the answer's body, None: it has none. The `summary` is one imperative sentence for the API reference.
    """

    method: str
    path: str
    handler: Callable[[Request], Any]
    rule: str | None
    status: int = 200
    schema: Schema | None = None
    optional: bool = False
    query: Schema | None = None
    answer: Schema | None = None
    summary: str = ""
