"""Apply a module again to the instances that have other contents of it: batch by batch, with a pause between."""

import logging
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trove.core.callers import Caller
from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.core.modules import ModuleStatus
from trove.operations.booking import Subject, book_on, need_room
from trove.operations.doors import Doors, ModuleSettings
from trove.operations.module.applying import sent
from trove.operations.module.guests import guest_of
from trove.operations.steps import line, step
from trove.operations.work import Work
from trove.store import instance_modules, modules, operations
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

KIND = "module.reapply"
MODULE = "module"
PASSES = 3
"""How often an instance is tried whose guest does not answer."""
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reapply:
    """Which instances: with `md5` those that have these contents, with `force` also those that have the present ones.

    None of batches: the operator's.
    """

    md5: str | None = None
    include_clustered: bool = False
    force: bool = False
    batch_size: int | None = None
    batch_delay_s: float | None = None


def start(doors: Doors, caller: Caller, module_id: str, wanted: Reapply) -> None:
    """Accept it, for the project's instances; for an administrator's, those of all projects.

    Raises `NotFound`, `InvalidInput` for batches that are larger, or pauses that are shorter, than operators allow,
    `Overloaded`.
    """
    _check_batches(doors.settings.modules, wanted)
    doors.announcer.announce(doors.database.run(_book, doors, caller, module_id, wanted))


def flow(work: Work) -> Any:
    """Return the flow: one step, which goes on where an earlier run left off. Nothing undoes it."""
    return line(work, step(work, reapply, waiting_for="the guest agents to apply the module"))


def succeed(_tx: Tx, _work: Work) -> None:
    """Do nothing more: each instance was noted when its guest had the module."""


def fail(_tx: Tx, _work: Work, _error: TroveError) -> None:
    """Do nothing more: the operation names the instances that do not have it."""


def reapply(work: Work) -> None:
    """Apply it to every instance that is due. Raises `GuestError` naming those where that failed."""
    batch, pause_s = int(str(work.operation.args["batch_size"])), float(str(work.operation.args["batch_delay_s"]))
    failed: dict[str, str] = {}
    for attempt in range(1, PASSES + 1):
        failed = {}
        due = _due(work)
        for first in range(0, len(due), batch):
            if first:
                work.pause(pause_s)
            for instance_id in due[first : first + batch]:
                _check(work)
                if (reason := _apply(work, instance_id)) is not None:
                    failed[instance_id] = reason
        if not failed:
            return
        if attempt < PASSES:
            work.pause(pause_s)
    raise GuestError(_story(failed))


def _apply(work: Work, instance_id: str) -> str | None:
    """Have one guest apply the module; return why it could not, None when it did."""
    module_id = work.operation.resource_id
    with work.doors.database.reading() as tx:
        payload = sent(tx, modules.get(tx, module_id))
    try:
        (result,) = guest_of(work.doors, instance_id, request_id=work.operation.request_id).module_apply([payload])
    except (Unavailable, GuestError, InvalidInput, ValueError) as error:
        LOG.warning("Module %s cannot be applied to instance %s: %s", module_id, instance_id, error)
        return str(error)
    if result.status is not ModuleStatus.OK:
        return result.message
    work.doors.database.run(_confirm, work, instance_id, result.md5)
    return None


def _confirm(tx: Tx, work: Work, instance_id: str, md5: str) -> None:
    operations.check(tx, work.fence)
    instance_modules.confirm(tx, instance_id, work.operation.resource_id, md5)


def _due(work: Work) -> tuple[str, ...]:
    args = work.operation.args
    since: datetime | None = work.operation.created if args["force"] else None
    md5, project_id = args["md5"], args["project_id"]
    with work.doors.database.reading() as tx:
        modules.get(tx, work.operation.resource_id)
        return instance_modules.due(
            tx,
            work.operation.resource_id,
            project_id=None if project_id is None else str(project_id),
            include_clustered=bool(args["include_clustered"]),
            md5=None if md5 is None else str(md5),
            touched_before=since,
        )


def _check(work: Work) -> None:
    with work.doors.database.reading() as tx:
        work.check(tx, waiting_for="the guest agents to apply the module", heard="some have it")


def _story(failed: dict[str, str]) -> str:
    named = [f"{instance_id}: {reason}" for instance_id, reason in list(failed.items())[:MOST_NAMED]]
    more = f" And {len(failed) - MOST_NAMED} more." if len(failed) > MOST_NAMED else ""
    return f"The module could not be applied to {len(failed)} instances. {' '.join(named)}{more}"


def _check_batches(settings: ModuleSettings, wanted: Reapply) -> None:
    if wanted.batch_size is not None and wanted.batch_size > settings.reapply_max_batch_size:
        raise InvalidInput(f"batch_size: is at most {settings.reapply_max_batch_size} here")
    if wanted.batch_delay_s is not None and wanted.batch_delay_s < settings.reapply_min_batch_delay_s:
        raise InvalidInput(f"batch_delay: is at least {settings.reapply_min_batch_delay_s:g} s here")


def _book(tx: Tx, doors: Doors, caller: Caller, module_id: str, wanted: Reapply) -> str:
    need_room(tx, doors.settings.limits)
    project_id = None if caller.is_admin else caller.project_id
    module = modules.get(tx, module_id, project_id=project_id)
    settings = doors.settings.modules
    size = wanted.batch_size or settings.reapply_max_batch_size
    delay_s = settings.reapply_min_batch_delay_s if wanted.batch_delay_s is None else wanted.batch_delay_s
    count = modules.count_instances(tx, [module.id]).get(module.id, 0)
    longest_s = PASSES * (count * (doors.settings.guest_call_timeout_s + 1) + math.ceil(count / size) * delay_s)
    return book_on(
        tx,
        caller,
        Subject(type=MODULE, id=module.id, project_id=caller.project_id),
        KIND,
        timeout_s=doors.settings.restart_timeout_s + longest_s,
        args={
            "md5": wanted.md5,
            "include_clustered": wanted.include_clustered,
            "force": wanted.force,
            "project_id": project_id,
            "batch_size": size,
            "batch_delay_s": delay_s,
        },
    ).id
