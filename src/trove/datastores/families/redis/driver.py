"""The driver of the family: the server with all its facets."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trove.core.errors import GuestError, InvalidInput, TroveError
from trove.core.json import JSON
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.datastores.contract import Dump, Host
from trove.datastores.families.redis import accounts, acl, datadir, standing
from trove.datastores.families.redis.accounts import Accounts
from trove.datastores.families.redis.kin import Kin
from trove.datastores.families.redis.options import read_config
from trove.datastores.families.redis.server import CLOSED, Server
from trove.datastores.families.redis.standing import Role, Standing

if TYPE_CHECKING:
    from trove.datastores.families.redis.replication import Replicated

_STOP_TIMEOUT_S = 120.0


class RedisDriver(Server, Accounts):
    """`Driver`, `Users`, `Root`, `Configuration`, `Backups`, `Replication`, `Logs` and `Upgrades`."""

    encoding = "redis-rdb"

    def __init__(self, host: Host, kin: Kin) -> None:
        Server.__init__(self, host, kin)
        Accounts.__init__(self)
        self.names = kin.names
        self._replication: Replicated | None = None

    def check_own_users(self) -> None:
        """Raise `InvalidInput` on a replica: its users are those of its source."""
        if standing.read(self._host).role is Role.REPLICA:
            raise InvalidInput("This instance is a replica: its users are those of its source, and are changed there.")

    def stop(self, *, timeout_s: float) -> None:
        """Stop the server cleanly; kill it after `timeout_s`. Does nothing when it does not run."""
        with contextlib.suppress(TroveError):
            if standing.read(self._host).role is Role.REPLICA and self._host.server_pid() is not None:
                self._replicated.note_received()
        super().stop(timeout_s=timeout_s)

    # Configuration

    def apply_config(self, config: str, *, at_restart: Collection[str]) -> bool:
        """Replace the configuration, at once where the server can; return whether some of it waits for the next start.

        When the server refuses any of it, everything stays as it was, and `GuestError` says what was refused. May run twice.
        """
        from trove.datastores.families.redis import live  # noqa: PLC0415

        wanted = live.try_config(self._host, self._kin.server(self._host), config)
        pending = False
        if self._host.server_pid() is not None:
            names = set(self._config.known()) | set(read_config(config))
            if self.is_closed:
                names -= {name for name, _ in CLOSED}
            with self.session() as server:
                pending = live.set_options(server, wanted, names, at_restart)
        # Last, so that what a crash leaves half done is found by the next run of this.
        self._config.write(config)
        self._config.taken()
        return pending

    def refused_config(self) -> str | None:
        """Return why the server did not start with the configuration written last; None when it runs with it."""
        return self._config.refused

    # Backups

    @contextlib.contextmanager
    def dump(self, *, since: Mapping[str, JSON] | None) -> Iterator[Dump]:
        """Begin a backup of everything. Nothing is left when the block ends."""
        from trove.datastores.families.redis.backup import RedisDump  # noqa: PLC0415

        if since is not None:
            raise GuestError(f"{self._kin.title} has only full backups.")
        if self._host.server_pid() is None:
            raise GuestError("The database server does not run.")
        with self.session(alone=True) as server:
            yield RedisDump(server=server, users=acl.shared(accounts.lines(server)))

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from a backup, whole or not at all; one that is there is left alone."""
        from trove.datastores.families.redis.backup import RedisBackup, only  # noqa: PLC0415

        if datadir.is_made(self._data):
            return
        new = self._data.with_suffix(".new")
        self._host.remove_tree(new)
        try:
            backup = RedisBackup(chunks=only(streams))
            datadir.fill(self._host, new, backup.dump(), lambda: backup.users)
        except BaseException:
            self._host.remove_tree(new)
            raise
        progress("storing the data", 62)
        self._host.sync_tree(new)
        self._host.move(new, self._data)

    # Replication

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, JSON]:
        """Make the account for a replica; the data it copies itself."""
        progress("making an account for the replica", 50)
        return self._replicated.get_replication_snapshot(account)

    def prepare_replica(
        self, *, config: str, snapshot: Mapping[str, JSON], source: Source, progress: Callable[[str, int], None]
    ) -> None:
        """Start the server, have it copy the data of its source, whatever there is here, and follow it."""
        progress("making the data directory", 10)
        # First of all, so that it never takes a write.
        standing.write(self._host, Standing(role=Role.REPLICA, source=source))
        self._make_data()
        self.check_space()
        self._config.write(config, lasting=False)
        progress("copying the data of the source", 20)
        self._replicated.follow(source)
        progress("following the source", 95)

    def attach_replica(self, source: Source | None) -> None:
        """Take no more writes of tenants and follow `source`; None is whom it followed last.

        What it has and the source has not is gone then: it gets the data of its source anew, unless it is just behind.
        """
        self._replicated.follow(source)

    def detach_replica(self, *, for_failover: bool) -> None:
        """Apply all that was received, then follow nobody. It takes writes afterwards unless `for_failover`."""
        self._replicated.part(for_failover=for_failover)

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again."""
        self._replicated.make_read_only(read_only)

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts; then take writes."""
        self._replicated.open_as_source(accounts)

    def demote_replication_master(self) -> None:
        """Forget what only a source needs; the server follows another one by now."""
        self._replicated.forget_replicas()

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        """Remove the account of a replica that follows no more. Missing is fine."""
        self._replicated.forget_replica(account)

    def get_latest_txn_id(self) -> str:
        """Return the last write that this source took: its history, and how many bytes of that there are."""
        return self._replicated.last_write()

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here; raises `GuestError` after `timeout_s` seconds."""
        self._replicated.await_write(txn, timeout_s=timeout_s)

    def get_last_txn(self) -> Received:
        """Return how far the writes of the source have been received, applied or not."""
        return self._replicated.received()

    def replica_state(self) -> ReplicaState | None:
        """Return whether and how closely this server follows its source; None when it is not a replica."""
        return self._replicated.state()

    # Upgrades

    def check_upgrade(self, version: str) -> None:
        """Raise `GuestError` saying what stands in the way of an upgrade to `version`; change nothing."""
        from trove.datastores.families.redis import upgrades  # noqa: PLC0415

        upgrades.check(self._host, self._kin.versions, self.version(), version)

    def upgrade(self, version: str, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Start this version of the server with this configuration; it reads the data of the one before it."""
        from trove.datastores.families.redis import upgrades  # noqa: PLC0415

        self.stop(timeout_s=_STOP_TIMEOUT_S)  # one that an earlier attempt has left
        upgrades.keep(self._host, progress)
        self.write_config(config)
        progress("starting the server", 60)
        with self.privately():
            upgrades.need_version(self.version(), version)

    def revert_upgrade(self) -> None:
        """Stop the server, and bring its data back to what they were before `upgrade`. Without one: nothing."""
        from trove.datastores.families.redis import upgrades  # noqa: PLC0415

        if (self._host.data_dir / upgrades.BEFORE).exists():
            self.stop(timeout_s=_STOP_TIMEOUT_S)
        upgrades.put_back(self._host)

    def finish_upgrade(self) -> None:
        """Remove what was kept for `revert_upgrade`."""
        from trove.datastores.families.redis import upgrades  # noqa: PLC0415

        upgrades.drop(self._host)

    @property
    def _replicated(self) -> "Replicated":
        if self._replication is None:
            from trove.datastores.families.redis.replication import Replicated  # noqa: PLC0415

            self._replication = Replicated(self._host, self)
        return self._replication
