"""Every kind of operation on the crash test-kit's stage: what may befall it here, and how its end is told."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.stepped import Snapshot, SteppedWorld
from tests.support.world import CALLER

from trove.core.errors import CloudError, NotFound, TroveError, Unavailable
from trove.core.operations import OperationState
from trove.core.status import shown_status
from trove.operations.catalogue import KINDS
from trove.operations.instance import delete
from trove.store import instances, operations, quotas
from trove.store.session import OutcomeUnknown
from trove.workflow.crash import AFTER_DO, BEFORE_DO, BEFORE_UNDO, Point, Reach, raiser

GUEST_FAILS, GUEST_SILENT = "the guest fails", "the guest stays silent"

UNEXPLAINED = "the cloud holds what the row does not know of: a"

_BY_THE_WAY = re.compile(r"after \d+ s|heard: [^']*|Cancelled [^']*")
"""What messages tell of how far it had come."""


@dataclass
class OperationTrial:
    """One operation, accepted and not begun."""

    here: SteppedWorld
    names: Mapping[str, str]
    operation_id: str
    resource_id: str

    def live(self, reach: Reach) -> None:
        """Be a task manager until all is quiet."""
        self.here.run_until_quiet(reach)

    def observe(self) -> object:
        """Tell all that must not depend on when somebody died."""
        text = str((problems(self.here), _rows(self.here), _cloud(self.here, self.names)))
        for instance_id, name in self.names.items():
            text = text.replace(instance_id, name)
        return _BY_THE_WAY.sub("…", text)

    def traces(self) -> object:
        """Tell what a task manager that died now would leave behind."""
        return self.here.traces()

    def cancel(self) -> None:
        """Be the user who cancels the operation."""
        with self.here.store.transaction() as tx:
            operations.request_cancel(tx, self.operation_id)

    def delete(self) -> None:
        """Be the user who deletes the instance; it may be refused, as long as it says why."""
        with suppress(TroveError):
            delete.start(self.here.doors, CALLER, self.resource_id)


@dataclass(frozen=True, kw_only=True)
class KindStage:
    """One kind of operation, on a world with an idle instance."""

    kind: str
    here: SteppedWorld
    idle: str
    was: Snapshot

    def trial(self, circumstance: str) -> OperationTrial:
        """Return a fresh trial; circumstances name the kind of the guest's job."""
        self.here.restore(self.was)
        what, _, job = circumstance.partition(" at ")
        if what == GUEST_FAILS:
            self.here.script.failing[job] = "The disk is full."
        elif what == GUEST_SILENT:
            self.here.script.silent.add(job)
        resource_id = KINDS[self.kind].rehearse(self.here.doors, CALLER, self.idle)
        with self.here.store.reading() as tx:
            (operation,) = operations.unfinished(tx, limit=9)
        assert operation.kind == self.kind
        names = {resource_id: "RESOURCE", self.idle: "IDLE"}
        return OperationTrial(here=self.here, names=names, operation_id=operation.id, resource_id=resource_id)

    def circumstances(self, calm: Sequence[Point]) -> Sequence[str]:
        """Return how guests fail whose jobs the calm run has done, known from the world that it left."""
        del calm
        jobs = dict.fromkeys(kind for _, kind, _ in self.here.guests.jobs)
        return [f"{what} at {job}" for job in jobs for what in (GUEST_FAILS, GUEST_SILENT)]

    def events(self) -> Mapping[str, Callable[[OperationTrial], None]]:
        """Return what users do meanwhile."""
        found: dict[str, Callable[[OperationTrial], None]] = {"deleted": OperationTrial.delete}
        if KINDS[self.kind].cancellable:
            found["cancelled"] = OperationTrial.cancel
        return found

    def failure(self, point: Point) -> Callable[[Any], None] | None:
        """Let tasks fail, and every door that is no transaction."""
        if point.moment in {BEFORE_DO, AFTER_DO, BEFORE_UNDO} or point.place.startswith("cloud."):
            return raiser(CloudError("No valid host was found."))
        if point.place.startswith(("bus.", "admission.")):
            return raiser(Unavailable("The bus is away."))
        return None

    def hiccups(self, point: Point) -> Mapping[str, Callable[[OperationTrial], None]]:
        """Let doors be away once, commits end unknown, messages be lost or come twice."""
        if point.place.startswith("message "):
            if point.moment == "before":
                return {"lost": lambda trial: trial.here.lose_message()}
            return {"comes twice": lambda trial: trial.here.repeat_message()}
        if point.place == "transaction":
            error = Unavailable("The state database is away.") if point.moment == "before" else OutcomeUnknown("Lost.")
            return {"hiccup": raiser(error)}
        if "." in point.place:
            return {"hiccup": raiser(Unavailable("Away for now."))}
        return {}


def problems(here: SteppedWorld) -> list[str]:
    """Return what must never be once all is quiet, whatever has happened."""
    found: list[str] = []
    with here.store.reading() as tx:
        found += [f"unfinished: {each.kind} {each.state}" for each in operations.unfinished(tx, limit=9)]
        live = {instance_id: instances.get(tx, instance_id) for instance_id in instances.live_ids(tx)}
        owed: dict[str, int] = {}
        for instance_id in live:
            for resource, amount in instances.charges(tx, instance_id).items():
                owed[resource.value] = owed.get(resource.value, 0) + amount
        for quota in quotas.limits_of(tx, CALLER.project_id, {}):
            if (quota.in_use, quota.reserved) != (owed.get(quota.resource.value, 0), 0):
                found.append(f"quota: {quota}, owed {owed}")
        for what in ("workflow_items", "operations where secrets is not null"):
            count = tx.connection.exec_driver_sql(f"select count(*) from {what}").scalar()
            if count:
                found.append(f"{count} left in {what}")
    left = here.cloud.leftovers()
    for what, ids in (
        ("server", left.servers),
        ("volume", left.volumes),
        ("port", left.ports),
        ("guest", here.admission.admitted),
    ):
        found += [f"a {what} of an instance that is deleted" for each in ids if each not in live]
    for instance in live.values():
        known = {
            "server": (instance.server_id, left.servers),
            "volume": (instance.volume and instance.volume.volume_id, left.volumes),
            "port": (instance.addresses, left.ports),
        }
        found += [f"{UNEXPLAINED} {what}" for what, (ours, held) in known.items() if instance.id in held and not ours]
        shown = shown_status(instance.task, instance.server_status)
        if shown not in {"ACTIVE", "ERROR"}:
            found.append(f"an instance stuck in {shown}")
        if shown == "ERROR" and instance.fault is None:
            found.append("an instance in ERROR without a reason")
    if here.locks.held:
        found.append(f"locks held: {sorted(here.locks.held)}")
    return found


def _rows(here: SteppedWorld) -> object:
    with here.store.reading() as tx:
        ended = [
            (each.kind, each.state.value, each.error, dict(each.reserved))
            for each in operations.page(tx, project_id=CALLER.project_id, limit=9).items
        ]
        counted = [(each.resource.value, each.in_use, each.reserved) for each in quotas.limits_of(tx, CALLER.project_id, {})]
        seen = []
        for each in sorted(instances.live_ids(tx)):
            with suppress(NotFound):
                one = instances.get(tx, each)
                shown = shown_status(one.task, one.server_status)
                fault = one.fault.message if one.fault else None
                service = one.guest.status.value if shown == "ACTIVE" else None
                # What a guest said last may come late, or never, once its server is gone.
                volume = one.volume if shown == "ACTIVE" or not one.volume else (one.volume.size_gib, one.volume.volume_id)
                seen.append((one.name, shown, service, one.addresses, one.port, one.server_id, volume, fault))
    return ended, counted, sorted(seen, key=str)


def _cloud(here: SteppedWorld, names: Mapping[str, str]) -> object:
    left = here.cloud.leftovers()
    with here.store.reading() as tx:
        succeeded = operations.page(tx, project_id=CALLER.project_id, state=OperationState.SUCCEEDED, limit=9).items
    done = [
        here.guests.done[each.resource_id, each.id] for each in succeeded if (each.resource_id, each.id) in here.guests.done
    ]
    held = (left.servers, left.volumes, left.ports, here.admission.admitted)
    return [sorted(names.get(each, each) for each in ids) for ids in held], sorted(done)
