"""Let one more network connect to an instance: an update of its access."""

from ipaddress import IPv4Network

from trove.core.callers import Caller
from trove.core.errors import InvalidInput
from trove.core.instances import Access
from trove.core.security_groups import Rule, SecurityGroup
from trove.operations.doors import Doors
from trove.operations.instance import update_access
from trove.operations.security_group import find
from trove.store import instances


def start(doors: Doors, caller: Caller, wanted: str, cidr: str) -> tuple[SecurityGroup, tuple[Rule, ...]]:
    """Accept that `cidr` may connect beside those that may; return the group as it will be, and the new rules.

    An instance that named no network was open to all, and stays so until that rule is deleted. Raises `NotFound`,
    `InvalidInput` for what is no network or has a rule, and what `update_access` raises.
    """
    try:
        IPv4Network(cidr, strict=False)
    except ValueError:
        raise InvalidInput(f"security_group_rule['cidr'] {cidr!r} is not an IPv4 address or network.") from None
    group = find.one(doors, caller, wanted)
    if cidr in group.cidrs:
        raise InvalidInput(f"Security group {group.id} has rules for {cidr} already.")
    with doors.database.reading() as tx:
        was = instances.get(tx, group.instance_id).access or Access()
    access = Access(is_public=was.is_public, allowed_cidrs=(*group.cidrs, cidr))
    after = find.with_access(doors, group.instance_id, access)
    update_access.start(doors, caller, group.instance_id, access)
    return after, tuple(rule for rule in after.rules if rule.cidr == cidr)
