"""A replicated set of real servers, led through its changes in the order in which the control plane does it."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.guests import wait_for
from tests.support.served_store import Store
from tests.support.servers import Server

from trove.core.failover import best_replica
from trove.core.replication import Account, ReplicaState, Source, account_name
from trove.datastores.contract import ReplicaBuild

CATCH_UP_S = 60.0


@dataclass(kw_only=True)
class ReplicatedSet:
    """A source and its replicas. `build` makes machines."""

    source: Server
    build: Callable[[], Server]
    store: Store
    replicas: list[Server] = field(default_factory=list)

    def add(self) -> Server:
        """Build a replica of the source, while that takes writes."""
        made = self.build()
        self.build_replica(made)
        self.replicas.append(made)
        return made

    def build_replica(self, made: Server, *, before_it_follows: Callable[[], None] = lambda: None) -> None:
        """Do what a new machine is built with; may be done again after it was cut off."""
        account = new_account(made)
        snapshot = dict(self.source.do("get_replication_snapshot", account=account))
        if made.spec.replica_build is ReplicaBuild.BACKUP:
            backup = self.store.back_up(self.source)
            self.store.restore(made, backup)
            snapshot |= {"positions": self.store.as_parent(backup)["positions"]}
        before_it_follows()
        source = source_of(self.source, account)
        made.do("prepare_replica", config=made.config(), snapshot=snapshot, source=source)

    def promote(self, candidate: Server) -> None:
        """Make a replica the source; the old one and all others follow it."""
        self.catch_up(candidate)
        self.source.call("make_read_only", read_only=True)
        self.catch_up(candidate)
        candidate.call("detach_replica", for_failover=True)
        self.switch(candidate, [self.source, *(each for each in self.replicas if each is not candidate)])

    def eject(self) -> Server:
        """Make the best replica the source in place of one that is dead; return it. The old source is in the set no more."""
        named = {each.guest.instance_id: each for each in self.replicas}
        candidate = named[best_replica({name: each.call("get_last_txn") for name, each in named.items()})]
        candidate.call("detach_replica", for_failover=True)
        self.switch(candidate, [each for each in self.replicas if each is not candidate])
        return candidate

    def switch(self, candidate: Server, followers: Sequence[Server]) -> None:
        """Open a server that is parted, and have these follow it."""
        accounts = {each.guest.instance_id: new_account(each) for each in followers}
        candidate.call("enable_as_master", list(accounts.values()))
        for each in followers:
            each.call("attach_replica", source_of(candidate, accounts[each.guest.instance_id]))
            if each is self.source:
                each.call("demote_replication_master")
        self.source, self.replicas = candidate, list(followers)

    def rejoin(self, server: Server) -> None:
        """Have a server that was ejected, and does not run, follow the source."""
        account = new_account(server)
        self.source.call("enable_as_master", [account])
        server.call("write_config", server.config())
        server.call("attach_replica", source_of(self.source, account))
        self.replicas.append(server)

    def catch_up(self, *servers: Server) -> None:
        """Wait until replicas have applied what the source has written by now; all of them unless some are named."""
        txn = self.source.call("get_latest_txn_id")
        for each in servers or self.replicas:
            each.call("wait_for_txn", txn, timeout_s=CATCH_UP_S)


def new_account(replica: Server) -> Account:
    return Account(name=account_name(replica.guest.instance_id), password=secrets.token_urlsafe(24))


def source_of(server: Server, account: Account) -> Source:
    return Source(host=server.address, port=server.spec.tcp_ports[0], account=account)


def await_following(server: Server) -> ReplicaState:
    """Wait until a replica says that it follows, and has all that it knows of."""

    def follows() -> ReplicaState | None:
        state: ReplicaState | None = server.call("replica_state")
        assert state is not None, "it says that it is no replica"
        return state if state.following and state.problem is None and state.lag_s == 0 else None

    found: ReplicaState = wait_for(follows, "a replica that follows", 90)
    return found
