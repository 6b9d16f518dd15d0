"""Every kind of operation on the crash test-kit's stage: what may befall it here, and how its end is told."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.stepped import Snapshot, SteppedWorld
from tests.support.world import CALLER

from trove.cloud.contract import resolved
from trove.core.backups import RUNNING, Backup, BackupState
from trove.core.clusters import ClusterTask
from trove.core.errors import CloudError, NotFound, TroveError, Unavailable
from trove.core.instances import Instance
from trove.core.operations import OperationState
from trove.core.quotas import Resource
from trove.core.status import ServerStatus, Task, shown_status
from trove.operations.backup.chain import chain_of
from trove.operations.booking import CLUSTER, INSTANCE
from trove.operations.catalogue import KINDS
from trove.operations.cluster import delete as delete_cluster
from trove.operations.cluster import reset_status as reset_cluster
from trove.operations.instance import delete
from trove.operations.notifications.events import event_type
from trove.store import backups, clusters, instance_modules, instances, notifications, operations, quotas, tls
from trove.store.session import OutcomeUnknown, Tx
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
    instance_id: str
    cluster_id: str | None = None

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
        """Be the user who deletes the instance; it may be refused, as long as it says why. A busy cluster is freed before."""
        with suppress(TroveError):
            if self.cluster_id is not None:
                reset_cluster.start(self.here.doors, CALLER, self.cluster_id)
                delete_cluster.start(self.here.doors, CALLER, self.cluster_id)
            else:
                delete.start(self.here.doors, CALLER, self.instance_id)


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
        resource_id = self.here.kinds[self.kind].rehearse(self.here.doors, CALLER, self.idle)
        with self.here.store.reading() as tx:
            (operation,) = operations.unfinished(tx, limit=9)
        assert operation.kind == self.kind
        names = {**_names_of_members(self.here), resource_id: "RESOURCE", self.idle: "IDLE"}
        instance_id = operation.resource_id if operation.resource_type == INSTANCE else self.idle
        cluster_id = operation.resource_id if operation.resource_type == CLUSTER else None
        return OperationTrial(
            here=self.here, names=names, operation_id=operation.id, instance_id=instance_id, cluster_id=cluster_id
        )

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
        if point.place.startswith("objects."):
            return raiser(Unavailable("The object store is away."))
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
        owed[Resource.BACKUPS.value] = len(backups.live_ids(tx))
        for quota in quotas.limits_of(tx, CALLER.project_id, {}):
            if (quota.in_use, quota.reserved) != (owed.get(quota.resource.value, 0), 0):
                found.append(f"quota: {quota}, owed {owed}")
        for what in ("workflow_items", "operations where secrets is not null"):
            count = tx.connection.exec_driver_sql(f"select count(*) from {what}").scalar()
            if count:
                found.append(f"{count} left in {what}")
        for (instance_id,) in tx.connection.exec_driver_sql("select distinct instance_id from instance_modules"):
            if instance_id not in live:
                found.append("a module of an instance that is deleted")
    left = here.cloud.leftovers()
    for what, ids in (
        ("server", left.servers),
        ("volume", left.volumes),
        ("port", left.ports),
        ("name", here.cloud.names),
        ("guest", here.admission.admitted),
    ):
        found += [f"a {what} of an instance that is deleted" for each in ids if each not in live]
    for instance in live.values():
        known = {
            "server": (instance.server_id, left.servers),
            "volume": (instance.volume and instance.volume.volume_id, left.volumes),
            "port": (instance.addresses, left.ports),
            "name": (instance.hostname, here.cloud.names),
        }
        found += [f"{UNEXPLAINED} {what}" for what, (ours, held) in known.items() if instance.id in held and not ours]
        shown = shown_status(instance.task, instance.server_status)
        stopped = instance.task is Task.NONE and instance.server_status is ServerStatus.SHUTDOWN
        if shown not in {"ACTIVE", "ERROR", "RESTART_REQUIRED"} and not stopped:
            found.append(f"an instance stuck in {shown}")
        if here.named and shown == "ACTIVE" and here.cloud.names.get(instance.id) != resolved(instance.addresses):
            found.append("a name that does not mean the addresses of its instance")
        if shown == "ERROR" and instance.fault is None:
            found.append("an instance in ERROR without a reason")
    found += _backup_problems(here)
    found += _cluster_problems(here, live)
    found += _told_amiss(here)
    found += _split_brains(here, live)
    found += _wrong_versions(here, live)
    found += _wrong_certificates(here, live)
    if here.locks.held:
        found.append(f"locks held: {sorted(here.locks.held)}")
    return found


def _backup_problems(here: SteppedWorld) -> list[str]:
    with here.store.reading() as tx:
        rows = {backup_id: backups.get(tx, backup_id) for backup_id in backups.live_ids(tx)}
    found = [f"a backup stuck in {row.state}" for row in rows.values() if row.state in RUNNING]
    found += [f"a backup that is still to be deleted: {row.state}" for row in rows.values() if row.deleting]
    for (container, name), _ in sorted(here.objects._objects.items()):
        if container == here.settings.backups.replica_container:
            found.append(f"{UNEXPLAINED} object")
            continue
        row = rows.get(name.partition("/")[0])
        if row is None:
            found.append("an object of a backup that is deleted")
        elif row.state is BackupState.FAILED:
            found.append(f"{UNEXPLAINED} object")
    for row in rows.values():
        if row.state is BackupState.COMPLETED:
            chain_of(here.objects, row)
    return found


def _cluster_problems(here: SteppedWorld, live: Mapping[str, Instance]) -> list[str]:
    """Return where a cluster is stuck or torn, or where its members do not know each other and nothing is said of it."""
    with here.store.reading() as tx:
        rows = {cluster_id: clusters.get(tx, cluster_id) for cluster_id in clusters.live_ids(tx)}
    found = [f"a cluster stuck in {row.task}" for row in rows.values() if row.task is not ClusterTask.NONE]
    found += ["a member of a cluster that is deleted" for each in live.values() if each.cluster_id not in {None, *rows}]
    for row in rows.values():
        ids = frozenset(member.id for member in row.members)
        idle = all(shown_status(live[each].task, live[each].server_status) != "ERROR" for each in ids)
        if row.fault is None and idle and any(here.guests.clusters.known.get(each) != ids for each in ids):
            found.append("members that do not know each other, and nothing is said of it")
        if row.fault is None and idle and not here.guests.clusters.settled >= ids:
            found.append("a member that was never told that all had joined")
        if {live[each].datastore_version.name for each in ids} != {row.datastore_version.name} and row.fault is None:
            found.append("members of another version than their cluster")
    return found + here.guests.clusters.amiss


def _names_of_members(here: SteppedWorld) -> dict[str, str]:
    with here.store.reading() as tx:
        rows = [clusters.get(tx, cluster_id) for cluster_id in clusters.live_ids(tx)]
    return {member.id: member.name for row in rows for member in row.members}


def _split_brains(here: SteppedWorld, live: Mapping[str, Instance]) -> list[str]:
    """Return where two servers of a set took writes at a time, and where what is shown as well does not do what it should."""
    found = [f"two sources at a time: {each}" for each in here.guests.replication.split]
    for instance in live.values():
        if shown_status(instance.task, instance.server_status) != "ACTIVE" or instance.fault is not None:
            continue
        role = here.guests.replication.role(instance.id)
        if instance.replica_of is None and not role.writable:
            found.append("a server that replicates nobody takes no writes, and nothing is said of it")
        if instance.replica_of is not None:
            source = live[instance.replica_of].addresses
            if role.writable or role.follows != source[0].address:
                found.append(f"a replica that does not follow its source: {role}, {source}")
    return found


def _wrong_versions(here: SteppedWorld, live: Mapping[str, Instance]) -> list[str]:
    """Return where a server met data that it cannot read, and where what is shown as well is not of the version shown."""
    versions, found = here.guests.versions, list(here.guests.versions.amiss)
    for instance in live.values():
        if shown_status(instance.task, instance.server_status) != "ACTIVE":
            continue
        shown = instance.datastore_version.version
        there = versions.machine.get(instance.id), versions.data.get(instance.id)
        if there != (shown, shown):
            found.append(f"an instance of {shown} whose machine and data are of {there}")
        if instance.id in versions.kept and instance.fault is None:
            found.append("what was kept of an old version is still there, and nothing is said of it")
    return found


def _wrong_certificates(here: SteppedWorld, live: Mapping[str, Instance]) -> list[str]:
    """Return where a server serves with something else than is kept of it, and nothing is said of it; and what is left."""
    found = []
    with here.store.reading() as tx:
        for instance in live.values():
            current = tls.kept(tx, instance.id).current
            served = None if current is None else current.tls.to_json()
            told = tls.shown(tx, instance.id)
            if (told.mode, told.certificate) != ((served or {}).get("mode"), (served or {}).get("certificate")):
                found.append(f"a TLS that is not what is shown: {told}")
            is_well = shown_status(instance.task, instance.server_status) == "ACTIVE" and instance.fault is None
            if is_well and here.guests.tls.get(instance.id) != served:
                found.append(f"a server that serves {here.guests.tls.get(instance.id)} instead of {served}")
        kept = tx.connection.exec_driver_sql("select instance_id from instance_tls").scalars()
        found += ["a key of an instance that is deleted" for each in kept if each not in live]
    return found


def _told_amiss(here: SteppedWorld) -> list[str]:
    """Return where what consumers of notifications were told is not what happened: each beginning and each end once."""
    with here.store.reading() as tx:
        told = Counter((each.payload.get("operation_id"), each.event_type) for each in notifications.waiting(tx, 10_000))
        ended = operations.page(tx, project_id=CALLER.project_id, limit=10_000).items
    wanted: Counter[tuple[object, str]] = Counter()
    for each in ended:
        end = "end" if each.state is OperationState.SUCCEEDED else "error"
        wanted.update((each.id, event_type(each.kind, suffix)) for suffix in ("start", end))
    amiss = {key for key in {*told, *wanted} if key[0] is not None and told[key] != wanted[key]}
    return [f"told {told[key]} times: {key[1]}" for key in sorted(amiss, key=str)]


def _rows(here: SteppedWorld) -> object:
    with here.store.reading() as tx:
        kept = sorted((each.name, each.state.value, each.note, each.size_bytes) for each in _all_backups(tx))
        ended = [
            (each.kind, each.state.value, each.error, dict(each.reserved))
            for each in operations.page(tx, project_id=CALLER.project_id, limit=9).items
        ]
        formed = [
            (each.name, each.task, each.fault, each.datastore_version.name, each.configuration_id is None, len(each.members))
            for each in (clusters.get(tx, cluster_id) for cluster_id in clusters.live_ids(tx))
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
                role = here.guests.replication.role(each) if shown == "ACTIVE" else None
                has = [(every.module.name, every.md5) for every in instance_modules.of_instance(tx, each, project_id=None)]
                is_now = (
                    one.replica_of,
                    role,
                    one.datastore_version.name,
                    one.access,
                    here.cloud.accesses.get(each),
                    has,
                    here.guests.tls.get(each) if shown == "ACTIVE" else None,
                )
                seen.append(
                    (one.name, shown, service, one.addresses, one.hostname, one.port, one.server_id, volume, fault, is_now)
                )
    return ended, counted, sorted(seen, key=str), kept, formed


def _all_backups(tx: Tx) -> list[Backup]:
    return [backups.get(tx, each) for each in backups.live_ids(tx)]


def _cloud(here: SteppedWorld, names: Mapping[str, str]) -> object:
    left = here.cloud.leftovers()
    with here.store.reading() as tx:
        succeeded = operations.page(tx, project_id=CALLER.project_id, state=OperationState.SUCCEEDED, limit=9).items
    done = [
        here.guests.done[each.resource_id, each.id] for each in succeeded if (each.resource_id, each.id) in here.guests.done
    ]
    held = (left.servers, left.volumes, left.ports, here.cloud.names, here.admission.admitted)
    return [sorted(names.get(each, each) for each in ids) for ids in held], sorted(done)
