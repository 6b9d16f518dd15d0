"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The authenticated author of a request. `project_id` always equals the project in the URL."""

    project_id: str
    user_id: str
    request_id: str
    roles: tuple[str, ...] = ()
    is_admin: bool = False
