"""Find security groups by walking through the project's instances: their ids cannot be turned back."""

from collections.abc import Iterator
from dataclasses import replace

from trove.core.callers import Caller
from trove.core.errors import NotFound
from trove.core.instances import Access, Instance
from trove.core.pages import Page
from trove.core.security_groups import Rule, SecurityGroup, group_id, security_group
from trove.datastores import registry
from trove.operations.doors import Doors
from trove.store import instances

_PAGE = 1000


def page(doors: Doors, caller: Caller, *, limit: int, marker: str | None) -> Page[SecurityGroup]:
    """Return the groups of the project's instances, newest first; the marker is an instance."""
    with doors.database.reading() as tx:
        found = instances.page(tx, project_id=caller.project_id, limit=limit, marker=marker)
    return Page(items=tuple(group_of(each) for each in found.items), next_marker=found.next_marker)


def one(doors: Doors, caller: Caller, wanted: str) -> SecurityGroup:
    """Return a group. Raises `NotFound`."""
    for instance in _all(doors, caller):
        if group_id(instance.id) == wanted:
            return group_of(instance)
    raise NotFound(f"Security group {wanted} not found.")


def with_rule(doors: Doors, caller: Caller, wanted: str) -> tuple[SecurityGroup, Rule]:
    """Return a rule and its group. Raises `NotFound`."""
    for instance in _all(doors, caller):
        group = group_of(instance)
        for rule in group.rules:
            if rule.id == wanted:
                return group, rule
    raise NotFound(f"Security group rule {wanted} not found.")


def group_of(instance: Instance) -> SecurityGroup:
    """Return the group of an instance."""
    return security_group(instance, registry.spec(instance.datastore_version.manager).tcp_ports)


def _all(doors: Doors, caller: Caller) -> Iterator[Instance]:
    marker = None
    while True:
        with doors.database.reading() as tx:
            found = instances.page(tx, project_id=caller.project_id, limit=_PAGE, marker=marker)
        yield from found.items
        marker = found.next_marker
        if marker is None:
            return


def with_access(doors: Doors, instance_id: str, access: Access) -> SecurityGroup:
    """Return the group that an instance has once it has this access. Raises `NotFound`."""
    with doors.database.reading() as tx:
        return group_of(replace(instances.get(tx, instance_id), access=access))
