"""Let a network connect to an instance no more: an update of its access."""

from trove.core.callers import Caller
from trove.core.errors import InvalidInput
from trove.core.instances import Access
from trove.operations.doors import Doors
from trove.operations.instance import update_access
from trove.operations.security_group import find
from trove.store import instances


def start(doors: Doors, caller: Caller, wanted: str) -> None:
    """Accept that the network of a rule may connect to none of the instance's ports any more.

    Raises `NotFound`; `InvalidInput` for the last network, because an instance that names none is open to all; and what
    `update_access` raises.
    """
    group, rule = find.with_rule(doors, caller, wanted)
    left = tuple(cidr for cidr in group.cidrs if cidr != rule.cidr)
    if not left:
        raise InvalidInput(
            f"{rule.cidr} is the only network of security group {group.id}: without any, everybody may connect. "
            "Create a rule for another network first."
        )
    with doors.database.reading() as tx:
        was = instances.get(tx, group.instance_id).access or Access()
    update_access.start(doors, caller, group.instance_id, Access(is_public=was.is_public, allowed_cidrs=left))
