"""One request as a handler sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trove.api.filters.identity import KEYSTONE
from trove.api.flavor_list import FlavorList
from trove.api.links import Links
from trove.api.policies.enforcement import Policy
from trove.api.settings import ApiSettings
from trove.cloud.contract import KeyToken
from trove.core.callers import Caller
from trove.core.errors import NotFound
from trove.core.ids import is_id
from trove.operations.doors import Doors


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` holds the placeholders of the route; `body` is parsed and has passed the route's schema."""

    doors: Doors
    settings: ApiSettings
    flavors: FlavorList
    caller: Caller
    policy: Policy
    path: Mapping[str, str]
    query: Mapping[str, str]
    links: Links
    environ: Mapping[str, Any]
    body: Any = None

    def id(self, name: str, noun: str) -> str:
        """Return the id in the path, in lower case; raise `NotFound` when it is none."""
        text = self.path[name]
        if not is_id(text):
            raise NotFound(f"{noun} {text[:100]} not found.")
        return text.lower()

    def instance_id(self) -> str:
        """Return the id of the instance in the path."""
        return self.id("instance_id", "Instance")

    @property
    def key_token(self) -> KeyToken | None:
        """Return what lets the caller into a key manager; None for one who has no token."""
        token = self.environ.get("HTTP_X_AUTH_TOKEN")
        if not token or KEYSTONE not in self.environ:
            return None
        return KeyToken(token=token, catalogue=self.environ.get("HTTP_X_SERVICE_CATALOG", ""))

    @property
    def visible_project(self) -> str | None:
        """Return the project whose rows the caller may reach by id; None for administrators: every project."""
        return None if self.caller.is_admin else self.caller.project_id
