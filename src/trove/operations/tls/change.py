"""Enable, disable or roll back the TLS of an instance, and of its replicas with it: all of them, or none.

What is in a key manager is read while the request is served, as the caller. From then on it is in the vault alone.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from trove.cloud.certificates import tls_of
from trove.cloud.contract import KeyToken
from trove.core.callers import Caller
from trove.core.errors import GuestError, InvalidInput, NotFound, NotReady, TroveError, Unavailable, Unsupported
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.core.operations import UNFINISHED, OperationState
from trove.core.status import Task, shown_status
from trove.core.tls import Tls, TlsMode
from trove.core.transitions import Event
from trove.datastores.contract import Spec
from trove.operations.booking import book, need_room, owe_restart
from trove.operations.doors import Doors
from trove.operations.instance import replica_set
from trove.operations.sight import need_no_cluster
from trove.operations.steps import line, step
from trove.operations.tls import consumers
from trove.operations.tls.support import NOT_KNOWN, managed, serve
from trove.operations.work import Work
from trove.store import instances, operations, tls
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

KIND = "instance.change_tls"
WAITING_FOR = "the guest agents to change their TLS"
ENDS = replica_set.Ends(idle=Event.TLS_CHANGED, failed=Event.TLS_FAILED, own={})
READY = frozenset({"ACTIVE", "RESTART_REQUIRED"})
WANTED, ROLLBACK = "wanted", "rollback"


class TlsVerb(StrEnum):
    """What may be done."""

    ENABLE = "enable"
    DISABLE = "disable"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTls:
    """What was asked for. `container_ref` and `password_ref` are URLs in a key manager, which `token` lets in."""

    verb: TlsVerb
    container_ref: str | None = None
    password_ref: str | None = None
    mode: TlsMode = TlsMode.BASIC
    token: KeyToken | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What was accepted. `before` and `after` are what the key manager has of each instance of the set."""

    operation_id: str
    instance_id: str
    mode: TlsMode | None
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a change has come to. `restart_required` is also True of one that has not ended: it is not in effect yet."""

    restart_required: bool
    mode: TlsMode | None


def start(doors: Doors, caller: Caller, instance_id: str, change: ChangeTls) -> Started:
    """Accept it.

    Raises `InvalidInput` naming the field (nothing to be enabled with, or what does not fit; a replica, which has the TLS of
    its source; nothing to roll back to), `NotFound`, `NotReady` naming the status, `Unsupported` for an engine whose TLS is
    not managed, a cluster's member, and where there is no key manager; `Unavailable` while that is away; `Overloaded`.
    """
    if change.verb is TlsVerb.ENABLE and not change.container_ref:
        raise InvalidInput("ssl: enable needs a container_ref, the secret with the certificate and its key.")
    with doors.database.reading() as tx:
        instance, spec = managed(tx, caller, instance_id)
    _need_changeable(instance, change.verb)
    wanted = _from_key_manager(doors, spec, change) if change.verb is TlsVerb.ENABLE else None
    return accept(doors, caller, instance_id, change.verb, wanted)


def accept(doors: Doors, caller: Caller, instance_id: str, verb: TlsVerb, wanted: tls.Serving | None) -> Started:
    """Accept that the instance and its replicas serve with `wanted`, which counts only to enable. Raises as `start`."""
    started = doors.database.run(_book, doors, caller, instance_id, (verb, wanted))
    doors.announcer.announce(started.operation_id)
    return started


def outcome(doors: Doors, started: Started) -> Outcome:
    """Return what a change has come to so far. Raises `GuestError` when it has failed, and all is as it was before."""
    with doors.database.reading() as tx:
        operation = operations.get(tx, started.operation_id)
        if operation.state in UNFINISHED:
            return Outcome(restart_required=True, mode=started.mode)
        pending = tls.waiting_for_restart(tx, replica_set.listed(operation.args))
    if operation.state is not OperationState.SUCCEEDED:
        raise GuestError(operation.error or "The change of TLS was given up.")
    return Outcome(restart_required=bool(pending), mode=started.mode)


def tell_key_manager(doors: Doors, started: Started, token: KeyToken | None) -> None:
    """Have the key manager know who uses what, as well as it can be told."""
    consumers.exchange(doors, token, before=started.before, after=started.after)


def flow(work: Work) -> Any:
    """Return the flow that changes it, on the source first: what it has to do to its accounts reaches its replicas."""
    return line(work, step(work, serve_as_wanted, waiting_for=WAITING_FOR, undo=serve_as_before))


def succeed(tx: Tx, work: Work) -> None:
    """Keep what the members serve with now, and let them go, in the transaction that ends the operation."""
    wanted = tls.Serving.from_json(work.operation.secrets[WANTED])
    for member in replica_set.roles(tx, work):
        before = tls.kept(tx, member)
        tls.put(tx, member, _after(before, wanted, rolled_back=bool(work.operation.args[ROLLBACK])), fence=work.fence)
        replica_set.unmark_in(tx, work, member)
    replica_set.let_go(tx, work, ENDS)
    _owe_restarts(tx, work)


def fail(tx: Tx, work: Work, error: TroveError) -> None:
    """Let go of the members as they were before, and keep the fault; who is left halfway says so."""
    replica_set.let_go_after(tx, work, ENDS, error)
    _owe_restarts(tx, work)


def serve_as_wanted(work: Work) -> None:
    """Have all members serve with what is wanted."""
    wanted = tls.Serving.from_json(work.operation.secrets[WANTED])
    members = _held(work)
    replica_set.mark(work, members, NOT_KNOWN)
    for member in members:
        serve(work, member, wanted)


def serve_as_before(work: Work) -> None:
    """Have all members serve with what they did before. One that refuses is left as it is, and says so."""
    away: Unavailable | None = None
    for member in _held(work):
        with work.doors.database.reading() as tx:
            before = tls.kept(tx, member).current
        try:
            serve(work, member, before)
        except Unavailable as error:
            away = error
        except (GuestError, InvalidInput, Unsupported) as error:
            LOG.warning("The TLS of %s is left as it is: %s", member, error.message)
            continue
        else:
            replica_set.unmark(work, [member])
    if away is not None:
        raise away


def _need_changeable(instance: Instance, verb: TlsVerb) -> None:
    need_no_cluster(instance)
    if instance.replica_of is not None and verb is not TlsVerb.ROLLBACK:
        raise InvalidInput(f"Instance {instance.id} is a replica, which has the TLS of its source {instance.replica_of}.")
    shown = shown_status(instance.task, instance.server_status)
    if shown not in READY:
        raise NotReady(f"The TLS of instance {instance.id} cannot be changed now: its status is {shown}.")


def _from_key_manager(doors: Doors, spec: Spec, change: ChangeTls) -> tls.Serving:
    if change.mode not in spec.tls_modes:
        raise InvalidInput(f"ssl.mode: {spec.title} can be {', '.join(sorted(spec.tls_modes))}, not {change.mode}.")
    if doors.keys is None or change.token is None:
        raise Unsupported("This service has no key manager (Barbican) to take certificates from: TLS stays as it is.")
    assert change.container_ref is not None
    held = doors.keys.read(change.token, change.container_ref, field="container_ref")
    passphrase = doors.keys.read(change.token, change.password_ref, field="password_ref") if change.password_ref else None
    made: Tls = tls_of(held, passphrase, mode=change.mode)
    return tls.Serving(tls=made, ref=change.container_ref)


def _book(tx: Tx, doors: Doors, caller: Caller, instance_id: str, asked: tuple[TlsVerb, tls.Serving | None]) -> Started:
    verb, wanted = asked
    need_room(tx, doors.settings.limits)
    instance, _ = managed(tx, caller, instance_id)
    _need_changeable(instance, verb)
    rollback = verb is TlsVerb.ROLLBACK
    if rollback:
        kept = tls.kept(tx, instance.id)
        if not kept.has_way_back:
            raise InvalidInput(f"ssl.rollback: instance {instance.id} has no TLS from before to go back to.")
        wanted = kept.previous
    args = _take_one(tx, instance) if instance.replica_of is not None else _take_set(tx, instance)
    members = replica_set.listed(args)
    tls.prepare(tx, members)
    secrets: dict[str, JSON] = {WANTED: None if wanted is None else wanted.to_json()}
    made = book(
        tx,
        caller,
        instance,
        KIND,
        timeout_s=doors.settings.reboot_timeout_s,
        args={**args, ROLLBACK: rollback},
        secrets=secrets,
    )
    return Started(
        operation_id=made.id,
        instance_id=instance.id,
        mode=None if wanted is None else wanted.tls.mode,
        before=tls.refs(tx, members),
        after={} if wanted is None else dict.fromkeys(members, wanted.ref),
    )


def _take_set(tx: Tx, source: Instance) -> dict[str, JSON]:
    return replica_set.take(tx, source.id, lambda _: Event.TLS_ACCEPTED, needed=source.id)


def _take_one(tx: Tx, replica: Instance) -> dict[str, JSON]:
    owed = instances.apply(tx, replica.id, Event.TLS_ACCEPTED) is Task.RESTART_REQUIRED
    replica_set.need_quiet(tx, replica.id)
    own: list[JSON] = [replica.id]
    return {replica_set.SOURCE: replica.id, replica_set.MEMBERS: own, replica_set.OWED: own if owed else []}


def _after(before: tls.Kept, wanted: tls.Serving | None, *, rolled_back: bool) -> tls.Kept:
    """Return what is to be kept: a rollback leads no further, and what changes nothing leaves the way back as it is."""
    if rolled_back:
        return tls.Kept(current=wanted)
    if wanted == before.current:
        return before
    return tls.Kept(current=wanted, has_way_back=True, previous=before.current)


def _held(work: Work) -> list[str]:
    """Return the members that are there and not about to go, the source first."""
    found: list[str] = []
    with work.doors.database.reading() as tx:
        for member in replica_set.members_of(work):
            with suppress(NotFound):
                if instances.get(tx, member).task is not Task.DELETING:
                    found.append(member)
    return sorted(found, key=lambda member: member != replica_set.source_of(work))


def _owe_restarts(tx: Tx, work: Work) -> None:
    """Let those wait for a restart whose guests have said so, or that did before."""
    owed = work.operation.args[replica_set.OWED]
    assert isinstance(owed, list)
    for member in tls.waiting_for_restart(tx, replica_set.members_of(work)) | {str(each) for each in owed}:
        if member == work.operation.resource_id:
            owe_restart(tx, work)
            continue
        with suppress(NotReady, NotFound):
            instances.apply_to_member(tx, member, Event.RESTART_OWED, fence=work.fence)
