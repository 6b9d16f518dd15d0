"""What guests of a replicated set are asked for: each verb is a named job, which the guest does once, and may run twice."""

import secrets
from collections.abc import Mapping, Sequence

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.core.replication import Account, Received, Source, account_name
from trove.operations.guest_jobs import Errand, forget_job, run_job
from trove.operations.work import Work

PASSWORD_BYTES = 24
SNAPSHOT = "the source to take a snapshot"
CATCHING_UP = "the replica to catch up with its source"
CLOSING, REOPENING = "the source to take no more writes", "the source to take writes again"
TELLING = "the replicas to tell what they have received"
PARTING = "the replica to part from its source"
OPENING = "the new source to take writes"
FOLLOWING = "the replicas to follow their source"
"""What is waited for, in the words of the step that waits: it is told alike whoever notices that it takes too long."""
ACCOUNTS = "accounts"


def new_accounts(replica_ids: Sequence[str]) -> dict[str, JSON]:
    """Return fresh accounts, by replica, as the secrets of an operation that gives these replicas a source."""
    made = {each: Account(name=account_name(each), password=secrets.token_urlsafe(PASSWORD_BYTES)) for each in replica_ids}
    return {ACCOUNTS: {replica_id: account.to_json() for replica_id, account in made.items()}}


def account(work: Work, replica_id: str) -> Account:
    """Return the account that the operation made for a replica."""
    made = work.operation.secrets[ACCOUNTS]
    assert isinstance(made, dict)
    found = made[replica_id]
    assert isinstance(found, dict)
    return Account.from_json(found)


def get_replication_snapshot(work: Work, source_id: str, replica: Account) -> Mapping[str, object]:
    """Have the source make the replica's account and a snapshot to build it from; return how the replica gets at that."""
    result = _ask(
        work,
        "get_replication_snapshot",
        {"account": replica.to_json()},
        errand=Errand(guest=source_id, tag="snapshot"),
        waiting_for=SNAPSHOT,
    )
    snapshot = result.get("snapshot")
    if not isinstance(snapshot, Mapping):
        raise GuestError("The guest agent of the source took a snapshot, but did not tell where it is.")
    return snapshot


def make_read_only(work: Work, guest: str, *, read_only: bool) -> None:
    """Have a server take no writes of tenants any more, or take them again."""
    errand = Errand(guest=guest, tag="close" if read_only else "reopen")
    _ask(work, "make_read_only", {"read_only": read_only}, errand=errand, waiting_for=CLOSING if read_only else REOPENING)


def get_latest_txn_id(work: Work, guest: str, *, tag: str) -> str:
    """Return the last write of a source, in the engine's own words, for `wait_for_txn` alone."""
    errand = Errand(guest=guest, tag=f"{tag}-txn")
    result = _ask(work, "get_latest_txn_id", {}, errand=errand, waiting_for=CATCHING_UP)
    txn = result.get("txn")
    if not isinstance(txn, str):
        raise GuestError("The guest agent of the source did not tell its last write.")
    return txn


def wait_for_txn(work: Work, guest: str, txn: str, *, tag: str) -> None:
    """Have a replica apply everything up to a write of its source."""
    errand = Errand(guest=guest, tag=f"{tag}-wait")
    args: dict[str, JSON] = {"txn": txn, "timeout_s": max(1.0, round(work.left_s(), 1))}
    _ask(work, "wait_for_txn", args, errand=errand, waiting_for=CATCHING_UP)


def get_last_txn(work: Work, guest: str) -> Received:
    """Return how far a replica has received the writes of its source."""
    errand = Errand(guest=guest, tag="received")
    result = _ask(work, "get_last_txn", {}, errand=errand, waiting_for=TELLING)
    origin, position = result.get("origin"), result.get("position")
    if not isinstance(origin, str) or not isinstance(position, int) or isinstance(position, bool):
        raise GuestError(f"The guest agent of replica {guest} did not tell what it has received.")
    return Received(origin=origin, position=position)


def detach_replica(work: Work, guest: str, *, for_failover: bool) -> None:
    """Have a replica apply what it has received and follow nobody any more; it takes writes then, unless `for_failover`."""
    _ask(
        work,
        "detach_replica",
        {"for_failover": for_failover},
        errand=of(PART, guest),
        waiting_for=PARTING,
    )


def enable_as_master(work: Work, guest: str, *, accounts: Sequence[Account]) -> None:
    """Have a server take writes, and let replicas log in with these accounts."""
    _ask(
        work,
        "enable_as_master",
        {"accounts": [each.to_json() for each in accounts]},
        errand=of(OPEN, guest),
        waiting_for=OPENING,
    )


def attach_replica(work: Work, guest: str, source: Source | None) -> None:
    """Have a server follow a source, and take no writes of tenants; None is the one that it parted from last."""
    _ask(
        work,
        "attach_replica",
        {"source": None if source is None else source.to_json()},
        errand=of(FOLLOW, guest),
        waiting_for=FOLLOWING,
    )


def demote_replication_master(work: Work, guest: str) -> None:
    """Have a server that follows another one now forget that it was a source."""
    errand = Errand(guest=guest, tag="demote")
    _ask(work, "demote_replication_master", {}, errand=errand, waiting_for=FOLLOWING)


PART, OPEN, FOLLOW = Errand(tag="part"), Errand(tag="open"), Errand(tag="follow")
"""Jobs whose outcome is asked for once more when the operation ends; `of` names the guest."""


def of(errand: Errand, guest: str) -> Errand:
    """Return such a job on one guest."""
    return Errand(guest=guest, tag=errand.tag)


def _ask(work: Work, kind: str, args: Mapping[str, JSON], *, errand: Errand, waiting_for: str) -> Mapping[str, object]:
    result = run_job(work, kind, args, waiting_for=waiting_for, errand=errand)
    forget_job(work, errand)
    return result
