"""Who asks."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The authenticated author of a request. `project_id` always equals the project in the URL; `client_ip` may be unknown."""

    project_id: str
    user_id: str
    request_id: str
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    # Where a request came from makes its author no other one: decisions about authors are remembered by them.
    client_ip: str = field(default="", compare=False)
