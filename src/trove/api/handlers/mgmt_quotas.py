"""Quotas of projects: everybody may see those of the own project, administrators see and set all (contract 4.4)."""

import re

from trove.api.request import Request
from trove.api.views.mgmt import quota as view
from trove.core.errors import InvalidInput
from trove.core.json import JSON
from trove.operations.booking import quota_defaults
from trove.operations.quota import set_limits
from trove.store import quotas

_PROJECT = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def show(request: Request) -> JSON:
    """Show what a project uses, what is reserved for it, and its limits."""
    project_id = project_of(request)
    own = project_id == request.caller.project_id
    request.policy.enforce("quota:show" if own else "quota:show:all_projects", request.caller)
    with request.doors.database.reading() as tx:
        found = quotas.limits_of(tx, project_id, quota_defaults(request.doors.settings.limits))
    return {"quotas": [view(each) for each in found]}


def update(request: Request) -> JSON:
    """Set the limits that are given; null leaves one as it is."""
    given = {name: limit for name, limit in request.body["quotas"].items() if name != "xmlns" and limit is not None}
    set_limits.start(request.doors, request.caller, project_of(request), given)
    return {"quotas": given}


def project_of(request: Request) -> str:
    """Return the project in the path; whether there is one, only Keystone knows. Raises `InvalidInput`."""
    project_id = request.path["project"]
    if not _PROJECT.fullmatch(project_id):
        raise InvalidInput(
            f"The project {project_id[:64]!r} is not the id of one: 1 to 64 letters, digits, '-', '_', '.' or ':'."
        )
    return project_id
