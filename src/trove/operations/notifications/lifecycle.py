"""Stores `dbaas.*.start`, `.end` and `.error`: of operations where they are booked and ended, of light verbs after them.

What is stored is published once it is committed, at least once. Without a publisher (`Tx.publisher`) nothing is stored.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from trove.core.callers import Caller
from trove.core.clock import utcnow
from trove.core.errors import NotFound, TroveError
from trove.core.json import JSON
from trove.core.notifications import Publisher, moment
from trove.core.operations import NewOperation, Operation
from trove.operations.doors import Doors
from trove.operations.notifications.events import TRAITS, event_type
from trove.store import instances, notifications
from trove.store.session import Tx

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

INSTANCE = "instance"


def accepted(tx: Tx, new: NewOperation) -> None:
    """Store the `start` of an operation, in the transaction that books it."""
    if tx.publisher is None:
        return
    payload = _common(tx.publisher, new, began=utcnow())
    if new.resource_type == INSTANCE:
        payload |= _about_instance(tx, new.resource_id)
    payload |= {trait: new.args[key] for key, trait in TRAITS.items() if new.args.get(key) is not None}
    payload |= _names("databases", new.args.get("databases"))
    payload |= _names("users", new.secrets.get("users"))
    notifications.put(tx, event_type(new.kind, "start"), payload)


def ended(tx: Tx, operation: Operation, error: TroveError | None) -> None:
    """Store the `end` of an operation, or its `error`, in the transaction that ends it."""
    if tx.publisher is None:
        return
    payload = _common(tx.publisher, operation, began=utcnow())
    for key in ("instance_id", "backup_id", "cluster_id", "configuration_id"):
        if operation.args.get(key) is not None:
            payload.setdefault(key, operation.args[key])
    if error is not None:
        payload |= _failure(error)
    notifications.put(tx, event_type(operation.kind, "end" if error is None else "error"), payload)


def notified(
    kind: str,
    traits: Callable[..., Mapping[str, JSON]],
    *,
    resulting: Callable[[Any], Mapping[str, JSON]] = lambda _: {},
) -> Callable[[Callable[Concatenate[Doors, Caller, P], R]], Callable[Concatenate[Doors, Caller, P], R]]:
    """Tell of a verb that is done when its `start` returns. What is told must hold no secret.

    `traits` makes of its arguments after the caller, in their order, what is told; `resulting` of its result what `end` tells
    besides. Beginning and end are stored together once the verb has ended: a process that dies in the middle tells nothing.
    Never fails the verb.
    """

    def decorate(start: Callable[Concatenate[Doors, Caller, P], R]) -> Callable[Concatenate[Doors, Caller, P], R]:
        signature = inspect.signature(start)

        @wraps(start)
        def told(doors: Doors, caller: Caller, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if doors.database.publisher is None:
                return start(doors, caller, *args, **kwargs)
            story = _Story(doors, caller, kind)
            given = signature.bind(doors, caller, *args, **kwargs).args[2:]
            try:
                result = start(doors, caller, *args, **kwargs)
            except Exception as error:
                failure = _failure(error)
                story.tell("error", lambda: traits(*given), lambda: failure)
                raise
            story.tell("end", lambda: traits(*given), lambda: resulting(result))
            return result

        return told

    return decorate


class _Story:
    """Beginning and end of one light verb."""

    def __init__(self, doors: Doors, caller: Caller, kind: str) -> None:
        self._database = doors.database
        self._caller = caller
        self._kind = kind
        self._began = utcnow()

    def tell(self, suffix: str, traits: Callable[[], Mapping[str, JSON]], more: Callable[[], Mapping[str, JSON]]) -> None:
        """Store both in one transaction. A failure is told in the log alone: what was asked for is done, or was refused."""
        try:
            told, also = traits(), more()
            # Tried once: the request waits for it.
            with self._database.transaction() as tx:
                self._store(tx, suffix, told, also)
        except Exception:
            LOG.exception("Notifications of %s are lost: they could not be stored", self._kind)

    def _store(self, tx: Tx, suffix: str, traits: Mapping[str, JSON], more: Mapping[str, JSON]) -> None:
        caller = self._caller
        publisher = tx.publisher
        assert publisher is not None
        for which, when, extra in (("start", self._began, {}), (suffix, utcnow(), more)):
            base = _base(publisher, caller.project_id, caller.client_ip, caller.request_id, when)
            notifications.put(tx, event_type(self._kind, which), {**base, **traits, **extra})


def _common(publisher: Publisher, operation: NewOperation | Operation, *, began: datetime) -> dict[str, JSON]:
    payload = _base(publisher, operation.project_id, operation.client_ip, operation.request_id, began)
    payload[f"{operation.resource_type}_id"] = operation.resource_id
    payload["operation_id"] = operation.id
    return payload


def _base(publisher: Publisher, project_id: str, client_ip: str | None, request_id: str, when: datetime) -> dict[str, JSON]:
    return {
        "tenant_id": project_id,
        "client_ip": client_ip or None,
        "server_ip": publisher.server_ip,
        "server_type": publisher.server_type,
        "request_id": request_id,
        "occurred_at": moment(when),
    }


def _about_instance(tx: Tx, instance_id: str) -> dict[str, JSON]:
    try:
        instance = instances.get(tx, instance_id)
    except NotFound:
        return {}
    version = instance.datastore_version
    return {
        "name": instance.name,
        "flavor_id": instance.flavor_id,
        "datastore": version.datastore_name,
        "datastore_version": version.name,
        "image_id": version.image_id,
        "region_name": instance.region,
        "volume_size": instance.volume.size_gib if instance.volume else None,
        "replica_of": instance.replica_of,
        "cluster_id": instance.cluster_id,
    }


def _names(trait: str, items: JSON) -> dict[str, JSON]:
    """Return the names of databases or users, and nothing else of them: users have passwords."""
    if not isinstance(items, list) or not items:
        return {}
    return {trait: [item["name"] if isinstance(item, dict) else item for item in items]}


def _failure(error: Exception) -> dict[str, JSON]:
    if isinstance(error, TroveError):
        return {"message": error.message, "exception": [f"{type(error).__name__}: {error.message}"]}
    # What it says may hold anything.
    return {"message": "The service itself failed.", "exception": [type(error).__name__]}
