"""What things in the cloud are called and tagged, so that each is found again by the instance it was made for."""

from collections.abc import Iterable, Mapping

PREFIX = "trove-"
TAG = "trove_instance"
"""Every server and port of ours has this tag."""
KEY = "trove_instance_id"
"""Metadata key of servers and volumes, whose value is the instance's id."""


def name_of(instance_id: str) -> str:
    """Return the name of the volume and the port of an instance."""
    return f"{PREFIX}{instance_id}"


def management_name_of(instance_id: str, number: int) -> str:
    """Return the name of a port of an instance on a management network."""
    return f"{PREFIX}{instance_id}-management-{number}"


def tag_of(instance_id: str) -> str:
    """Return the tag that only things of this instance have."""
    return f"{TAG}_id_{instance_id}"


def project_tag_of(project_id: str) -> str:
    """Return the tag of what is a project's, though the service owns it."""
    return f"trove_project_id_{project_id}"


def instance_tagged(tags: Iterable[str]) -> str | None:
    """Return the id of the instance that tags tell, None when the thing is not ours."""
    return next((tag.removeprefix(tag_of("")) for tag in tags if tag.startswith(tag_of(""))), None)


def instance_of(metadata: Mapping[str, object] | None) -> str | None:
    """Return the id of the instance that metadata tell, None when the thing is not ours."""
    value = (metadata or {}).get(KEY)
    return str(value) if value else None


def group_name(prefix: str, instance_id: str) -> str:
    """Return the name of an instance's security group."""
    return f"{prefix}-{instance_id}"
