"""List the logs of an instance."""

from trove.core.callers import Caller
from trove.operations.doors import Doors
from trove.operations.log.reach import Shown, reach


def start(doors: Doors, caller: Caller, instance_id: str) -> tuple[Shown, ...]:
    """Return those that the caller may see, as the guest tells of them. Raises what `reach` does, and `Unavailable`."""
    found = reach(doors, caller, instance_id)
    by_name = {report.name: report for report in found.guest.guest_log_list()}
    return tuple(found.shown(by_name[name]) for name in found.types if name in by_name)
