"""The facet Replication: replicas copy and follow their source themselves, by the server's own protocol (PSYNC).

A source that is closed to writes stays what it is, so that its replicas can go on catching up; a replica refuses writes by
itself. Which of the two a server is, is kept on its volume before the server is told, so that it is so after each start.

Users are not replicated by the server. A replica asks its source for them, with the account that it copies the data with: when
it begins to follow, before it is promoted, and whenever it is asked how it follows. Like the last writes, the last changes of
users may be lost with a source that dies.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.core.json import JSON
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.contract import Host
from trove.datastores.families.redis import accounts as users
from trove.datastores.families.redis import acl, resp, standing
from trove.datastores.families.redis.naming import is_replica
from trove.datastores.families.redis.standing import Role

if TYPE_CHECKING:
    from trove.datastores.families.redis.server import Server

LOG = logging.getLogger(__name__)

_LINK_TIMEOUT_S = 60.0
"""So long may nothing come of a link to the source; a copy that grows may take as long as it needs."""
_SOURCE_TIMEOUT_S = 3.0
_USERS_EVERY_S = 5.0
_PING_S = 12
_SETTLED_S = 0.1
_SETTLING_S = 5.0
_WORDS_OF_WRITE = 3


class Replicated:
    """The verbs of a member of a replicated set, over the running server."""

    def __init__(self, host: Host, server: "Server") -> None:
        self._host = host
        self._server = server
        self._users_after = 0.0

    def get_replication_snapshot(self, account: Account) -> Mapping[str, JSON]:
        """Make the account for a replica; the data it copies itself."""
        with self._server.session() as server:
            _admit(server, [account])
            info = server.info("replication")
        return {"origin": info["master_replid"], "position": int(info["master_repl_offset"])}

    def follow(self, source: Source | None) -> None:
        """Take no more writes, and follow `source`, None for the last one. Starts the server; returns when it follows."""
        before = standing.read(self._host)
        source = source or before.followed
        if source is None:
            raise GuestError("This server never followed a source, so whom it is to follow must be told.")
        if before.role is not Role.REPLICA:
            self._close()
        # First, so that a wrong account changes nothing.
        _users_of(source)
        with self._server.role_changes:
            standing.write(self._host, replace(before, role=Role.REPLICA, source=source))
            if self._host.server_pid() is not None:
                with self._server.session() as server:
                    self._server.close_to_writes(server, freeze=False)
                    server.run("CONFIG", "SET", "masteruser", source.account.name, "masterauth", source.account.password)
                    server.run("REPLICAOF", source.host, source.port)
        self._server.start()
        self._await_link()
        self.take_over_users()
        with self._server.role_changes:
            standing.write(self._host, replace(before, role=Role.REPLICA, source=source, followed=source, received=None))
        self.note_received()

    def part(self, *, for_failover: bool) -> None:
        """Apply what was received, and follow nobody; take writes then, unless `for_failover`."""
        with self._server.session() as server:
            self._settle(server)
        with self._server.role_changes, self._server.session() as server:
            role = Role.CLOSED if for_failover else Role.SOURCE
            standing.write(self._host, replace(standing.read(self._host), role=role))
            self._server.close_to_writes(server, freeze=False)
            server.run("REPLICAOF", "NO", "ONE")
            if for_failover:
                self._server.close_to_writes(server, freeze=True)
            else:
                self._server.open_to_writes(server)

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again."""
        follows = standing.read(self._host).role is Role.REPLICA
        if follows and not read_only:
            raise GuestError("This server is a replica: it takes writes only after it has parted from its source.")
        if read_only and not follows:
            self._close()
        elif not read_only:
            with self._server.role_changes, self._server.session() as server:
                standing.write(self._host, replace(standing.read(self._host), role=Role.SOURCE))
                self._server.open_to_writes(server)

    def open_as_source(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts, beside others; then take writes."""
        with self._server.role_changes, self._server.session() as server:
            _admit(server, accounts)
            standing.write(self._host, replace(standing.read(self._host), role=Role.SOURCE, received=None))
            server.run("REPLICAOF", "NO", "ONE")
            self._server.open_to_writes(server)

    def forget_replicas(self) -> None:
        """Remove the accounts of all replicas."""
        with self._server.session() as server:
            _dismiss(server, [name for line in users.lines(server) if is_replica(name := acl.name_of(line))])

    def forget_replica(self, account: str) -> None:
        """Remove the account of a replica. Missing is fine."""
        if not is_replica(account):
            raise InvalidInput(f"'{account}' is not the account of a replica.")
        with self._server.session() as server:
            _dismiss(server, [account])

    def last_write(self) -> str:
        """Return the last write of this source."""
        with self._server.session() as server:
            run, info = server.info("server")["run_id"], server.info("replication")
        # Before its first replica since its start, a source counts nothing, and its history has no name that will last.
        return f"{run}:{info['master_replid']}:{info['master_repl_offset']}" if _counts(info) else f"{run}::"

    def await_write(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here, and its users are."""
        words = txn.split(":")
        if len(words) != _WORDS_OF_WRITE:
            raise InvalidInput(f"'{txn}' is not a write of a source.")
        deadline = time.monotonic() + timeout_s
        while True:
            with self._server.session() as server:
                info = server.info("replication")
            if self._has(info, *words):
                break
            if time.monotonic() > deadline:
                raise GuestError(f"The replica did not come as far as its source within {timeout_s:.0f} s: {_problem(info)}")
            time.sleep(0.02)
        self.take_over_users()

    def received(self) -> Received:
        """Return how far the writes of the source have been received."""
        self.note_received()
        received = standing.read(self._host).received
        if received is None:
            raise GuestError("This server has not received anything of a source.")
        return received

    def note_received(self) -> None:
        """Keep how far the writes of the source were received, if the server knows that: once it starts anew it does not."""
        with self._server.session(timeout_s=5) as server:
            info = server.info("replication")
        position = int(info.get("slave_read_repl_offset", info.get("slave_repl_offset", 0)))
        received = Received(origin=info["master_replid"], position=position)
        with self._server.role_changes:
            stands = standing.read(self._host)
            if stands.role is Role.REPLICA and _counts(info) and received != stands.received:
                standing.write(self._host, replace(stands, received=received), lasting=False)

    def state(self) -> ReplicaState | None:
        """Return how this replica follows its source, and ask the source for its users if that was long ago."""
        if standing.read(self._host).role is not Role.REPLICA:
            return None
        with self._server.session(timeout_s=5) as server:
            info = server.info("replication")
        if info.get("master_link_status") != "up":
            return ReplicaState(following=False, problem=_problem(info))
        if time.monotonic() >= self._users_after:
            self._users_after = time.monotonic() + _USERS_EVERY_S
            try:
                self.note_received()
                self.take_over_users()
            except TroveError as error:
                LOG.warning("the users of the source are unknown: %s", error)
        silent_s = int(info.get("master_last_io_seconds_ago", 0))
        has_all = info.get("slave_read_repl_offset", "") == info.get("slave_repl_offset", "") and silent_s < _PING_S
        return ReplicaState(following=True, lag_s=0.0 if has_all else float(silent_s))

    def take_over_users(self) -> None:
        """Have the same users as the source. Raises `Unavailable`, `GuestError`."""
        source = standing.read(self._host).source
        assert source is not None
        wanted = _users_of(source)
        with self._server.role_changes, self._server.session() as server:
            # Asking took a while: it may be a source by now, with users of its own.
            stands = standing.read(self._host)
            if stands.role is Role.REPLICA and stands.source == source:
                users.take_over(server, wanted)

    def _close(self) -> None:
        """Take no more writes, now and after each start."""
        with self._server.role_changes:
            standing.write(self._host, replace(standing.read(self._host), role=Role.CLOSED))
            if self._host.server_pid() is not None:
                with self._server.session() as server:
                    self._server.close_to_writes(server, freeze=True)

    def _has(self, info: Mapping[str, str], run: str, origin: str, position: str) -> bool:
        """Tell whether a write of the source is applied here."""
        if origin:
            return info["master_replid"] == origin and int(info.get("slave_repl_offset", -1)) >= int(position)
        # The source had no replica then: one that has a history in common with it has got all data since.
        source = standing.read(self._host).source
        if source is None or info.get("master_link_status") != "up":
            return False
        with _session(source) as other:
            return other.info("server")["run_id"] == run and other.info("replication")["master_replid"] == info["master_replid"]

    def _await_link(self) -> None:
        """Return when the server follows its source; raises `GuestError` when it comes no nearer to that."""
        seen, deadline = "", time.monotonic() + _LINK_TIMEOUT_S
        while True:
            if self._host.server_pid() is None:
                raise GuestError("The database server ended before it followed its source; its log says why.")
            info: dict[str, str] = {}
            with suppress(resp.ReplyError), self._server.session() as server:
                info = server.info("replication")
                loading = server.info("persistence").get("loading_loaded_bytes", "")
                if info.get("master_link_status") == "up":
                    return
                moved = f"{info.get('master_sync_read_bytes')} {loading}"
                if moved != seen:
                    seen, deadline = moved, time.monotonic() + _LINK_TIMEOUT_S
            if time.monotonic() > deadline:
                raise GuestError(f"The server does not follow its source: {_problem(info)}")
            time.sleep(0.02)

    def _settle(self, server: resp.Session) -> None:
        """Return when what was received is applied, and no more comes, or after some seconds in which ever more came."""
        deadline, seen, since = time.monotonic() + _SETTLING_S, "", time.monotonic()
        while time.monotonic() < deadline:
            info = server.info("replication")
            if info.get("role") != "slave" or info.get("master_link_status") != "up":
                return
            if info.get("slave_repl_offset", "") != seen:
                seen, since = info.get("slave_repl_offset", ""), time.monotonic()
            if time.monotonic() - since >= _SETTLED_S and info.get("slave_read_repl_offset", seen) == seen:
                return
            time.sleep(0.02)


def _session(source: Source) -> AbstractContextManager[resp.Session]:
    account = source.account
    there = resp.Endpoint(host=source.host, port=source.port, user=account.name, password=account.password)
    return resp.session(there, timeout_s=_SOURCE_TIMEOUT_S)


def _users_of(source: Source) -> list[str]:
    """Return the users that a replica is to have. Raises `GuestError` when the source cannot be asked."""
    try:
        with _session(source) as server:
            return acl.shared(users.lines(server))
    except resp.ReplyError as error:
        raise GuestError(f"The source {source.host}:{source.port} refuses this replica: {error.message}") from error
    except Unavailable as error:
        raise GuestError(f"The source {source.host}:{source.port} cannot be reached: {error.message}") from error


def _counts(info: Mapping[str, str]) -> bool:
    """Tell whether a server counts its writes: only since somebody followed it, or it followed somebody."""
    return info.get("repl_backlog_active") == "1"


def _admit(server: resp.Session, accounts: Sequence[Account]) -> None:
    for account in accounts:
        users.set_user(server, acl.user_line(account.name, account.password, acl.REPLICA_RIGHTS))
    if accounts:
        users.save(server)


def _dismiss(server: resp.Session, names: Sequence[str]) -> None:
    if names:
        server.run("ACL", "DELUSER", *names)
        users.save(server)


def _problem(info: Mapping[str, str]) -> str:
    """Return why a replica does not follow its source, as far as the server tells."""
    if info.get("master_sync_in_progress") == "1":
        return f"It copies the data of its source, {info.get('master_sync_read_bytes', 0)} bytes by now."
    since = info.get("master_link_down_since_seconds")
    down = "" if since in {None, "-1"} else f" for {since} s"
    return f"The link to the source {info.get('master_host')}:{info.get('master_port')} is down{down}."
