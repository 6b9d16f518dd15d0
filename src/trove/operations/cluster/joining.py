"""What guests of a cluster are asked for: each verb is a named job, which the guest does once, and may run twice."""

import secrets
from collections.abc import Sequence

from trove.core.clusters import Membership, Peer
from trove.core.errors import TroveError
from trove.core.instances import Instance
from trove.core.json import JSON
from trove.operations.guest_jobs import Errand, forget_job, run_job
from trove.operations.work import Work
from trove.store import clusters, instances

SECRET = "secret"  # noqa: S105  the name of one
JOINED = "the database server to join the cluster"
SETTLED = "the member to settle into the cluster"
UPDATED = "the member to take note of the others"
LEFT = "the member to leave the cluster"
"""What is waited for."""
SECRET_BYTES = 32


def new_secret() -> dict[str, JSON]:
    """Return, as the secrets of an operation that adds members, what the members know each other by from now on."""
    return {SECRET: secrets.token_urlsafe(SECRET_BYTES)}


def install(work: Work, newcomers: Sequence[str], *, founding: bool) -> None:
    """Have servers join the cluster, one after the other; when it is founded, the first of them begins it."""
    peers = peers_of(work)
    for number, guest in enumerate(newcomers):
        told = _membership(work, guest, peers, founder=founding and number == 0)
        _ask(work, "install_cluster", told, Errand(guest=guest, tag="install"), JOINED)


def complete(work: Work, newcomers: Sequence[str]) -> None:
    """Tell newcomers that all have joined."""
    for guest in newcomers:
        _ask(work, "cluster_complete", {}, Errand(guest=guest, tag="complete"), SETTLED)


def update(work: Work, guests_told: Sequence[str], *, without: Sequence[str] = ()) -> None:
    """Tell members who belongs to the cluster now: all members but `without`."""
    peers = peers_of(work, without=without)
    for guest in guests_told:
        told = _membership(work, guest, peers)
        _ask(work, "update_cluster", told, Errand(guest=guest, tag="update"), UPDATED)


def leave(work: Work, guest: str) -> None:
    """Have a member leave in good order."""
    _ask(work, "leave_cluster", {}, Errand(guest=guest, tag="leave"), LEFT)


def peers_of(work: Work, *, without: Sequence[str] = ()) -> list[Peer]:
    """Return all members that have rows now, but those `without`. Raises `TroveError` when one has no address."""
    with work.doors.database.reading() as tx:
        members = clusters.get(tx, work.operation.resource_id).members
        return [_peer(instances.get(tx, each.id), each.type) for each in members if each.id not in without]


def _peer(instance: Instance, member_type: str) -> Peer:
    if not instance.addresses or instance.port is None:
        raise TroveError(f"Member {instance.name} ({instance.id}) has no address at which the others could find it.")
    private = next((each for each in instance.addresses if each.type == "private"), instance.addresses[0])
    return Peer(id=instance.id, name=instance.name, type=member_type, host=private.address, port=instance.port)


def _membership(work: Work, guest: str, peers: Sequence[Peer], *, founder: bool = False) -> dict[str, JSON]:
    with work.doors.database.reading() as tx:
        cluster = clusters.get(tx, work.operation.resource_id)
    secret = work.operation.secrets.get(SECRET)
    return Membership(
        cluster_id=cluster.id,
        cluster_name=cluster.name,
        member_id=guest,
        peers=tuple(peers),
        founder=founder,
        secret=None if secret is None else str(secret),
    ).to_json()


def _ask(work: Work, kind: str, args: dict[str, JSON], errand: Errand, waiting_for: str) -> None:
    run_job(work, kind, args, waiting_for=waiting_for, errand=errand)
    forget_job(work, errand)
