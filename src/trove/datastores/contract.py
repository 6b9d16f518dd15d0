"""What an engine must offer: a `Spec` (pure data, read by the control plane) and a `Driver` (runs beside the server).

One folder an engine: `spec.py` holds `SPEC: Spec`; `driver.py` holds `driver(host: Host) -> Driver`. The control plane never
imports a driver. Code asks `spec.facets`, never an engine's name.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trove.core.accounts import Database, User
from trove.core.clusters import MEMBER, ClusterVerb, Membership
from trove.core.json import JSON
from trove.core.logs import LogType
from trove.core.pages import Page
from trove.core.replication import Account, Received, ReplicaState, Source
from trove.core.status import ServiceStatus
from trove.core.tls import Tls, TlsMode

if TYPE_CHECKING:  # a guest has no use for it
    from trove.core.parameters import Parameter


class Facet(StrEnum):
    """What an engine can do beyond running."""

    DATABASES = "databases"
    USERS = "users"
    ROOT = "root"
    BACKUPS = "backups"
    POINT_IN_TIME = "point_in_time"
    REPLICATION = "replication"
    CLUSTERING = "clustering"
    LOGS = "logs"
    CONFIGURATION = "configuration groups"
    UPGRADES = "upgrades"
    TLS = "tls"


class ReplicaBuild(StrEnum):
    """How the data of a source come to a new replica.

    DIRECT: the replica copies them itself, as the account that it was given, over the port of the database server. BACKUP: a
    backup of the source is made for it and restored before `Replication.prepare_replica`, which is told where that ends.
    """

    DIRECT = "direct"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRules:
    """What clusters of an engine are like: how few members one begins with and may shrink to, and what can be done to it."""

    min_members: int = 3
    min_left: int = 1
    member_type: str = MEMBER
    verbs: frozenset[ClusterVerb] = frozenset(ClusterVerb) - {ClusterVerb.ADD_SHARD}


def series_of(version: str) -> tuple[int, ...]:
    """Return the numbers that name the series of a version, such as 10.11."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An engine as the control plane sees it.

    The three checks raise `InvalidInput` naming the field; what they pass, the engine will accept.
    `render_config` returns the text of the configuration file for a server with that much memory.
    """

    manager: str
    title: str
    tcp_ports: tuple[int, ...]
    facets: frozenset[Facet]
    root_name: str
    default_password_length: int
    usable_versions: tuple[str, ...]
    """Version prefixes that the conformance suite was run with, such as `10.11`; others are tried with a warning."""
    check_database: Callable[[Database], None]
    check_user: Callable[[User], None]
    check_password: Callable[[str], None]
    render_config: Callable[["ConfigInputs"], str]
    volume_support: bool = True
    parameters: Callable[[str], "tuple[Parameter, ...]"] = lambda _version: ()
    """The shipped catalogue of a version number: what tenants may set in configuration groups."""
    read_config: Callable[[str], Mapping[str, str]] = lambda _text: {}
    """Returns the options that the text of a configuration file sets, by name."""
    clusters: ClusterRules = ClusterRules()
    """Means something only with the facet `CLUSTERING`."""
    replica_build: ReplicaBuild = ReplicaBuild.DIRECT
    """Means something only with the facet `REPLICATION`; BACKUP also needs the facet `BACKUPS`."""
    incremental_backups: bool = True
    can_restore: Callable[[str, str], bool] = lambda backup, own: series_of(backup) <= series_of(own)
    """Whether a server of a version number, the second, can begin with a backup of one of the first: else only of its own."""
    """Whether backups can build on others; means something only with the facet `BACKUPS`."""
    logs: Mapping[str, LogType] = field(default_factory=dict)
    """The logs of the database server by name, in the order in which they are shown; only with the facet `LOGS`."""
    tls_modes: frozenset[TlsMode] = frozenset(TlsMode)
    """The modes that are offered; means something only with the facet `TLS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigInputs:
    """What a configuration template may use. `overrides` are the values of a configuration group."""

    instance_id: str
    version: str
    ram_mib: int
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run. `secret_files` become files that only it can read, whose paths replace `{name}` in `argv`."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = field(default=None, repr=False)
    secret_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Space on the data volume, in bytes."""

    used: int
    total: int


class Host(Protocol):
    """The machine (or sandbox) an engine runs on. The only way for a driver to touch files, processes and mounts."""

    instance_id: str
    uid: int
    gid: int
    """User and group that programs run as."""
    address: str
    """Where the server must listen for tenants."""
    data_dir: Path
    """On the data volume, owned by the server's user."""
    run_dir: Path
    """For sockets and pid files; short enough for a Unix socket path."""
    config_dir: Path
    private_dir: Path
    """For secrets of the agent and the driver: nothing that runs in the sandbox can see it."""
    log_dir: Path
    template_dir: Path | None
    """A prepared data directory of this engine and version to copy from, None when there is none."""

    def run(self, command: Command) -> Finished:
        """Run a program to its end in the sandbox. Raises `GuestError` when it cannot start or times out."""

    def stream(self, command: Command, feed: Iterable[bytes] | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """Run a program in the sandbox and yield what it writes, while `feed` is written to it.

        The iterator, and the end of the block, raise `GuestError` with the program's words when it fails or takes longer than
        its time, and what `feed` raises. It is killed when the block ends before it.
        """

    def start_server(self, command: Command) -> None:
        """Start the database server in the sandbox, detached so that it outlives the agent. One at a time."""

    def server_pid(self) -> int | None:
        """Return the pid of the running database server (as this machine numbers it), None when it does not run."""

    def signal_server(self, signal: int) -> None:
        """Send a signal to the database server; does nothing when it does not run."""

    def write_file(self, path: Path, content: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
        """Write a file whole or not at all (temporary file, fsync, rename). Without `lasting`: on disk after `sync_tree`."""

    def read_file(self, path: Path) -> bytes | None:
        """Return the content of a file, None when it is missing."""

    def make_dir(self, path: Path) -> None:
        """Make a directory, with those above it, for the server's user alone (0700). One that is there is fine."""

    def files_in(self, folder: Path, pattern: str) -> tuple[Path, ...]:
        """Return what a directory holds by names that match a pattern, in order; nothing when it is missing."""

    def remove_file(self, path: Path) -> None:
        """Remove a file. Missing is fine."""

    def grow_volume(self, size_bytes: int) -> None:
        """Let the file system fill its volume, which must be at least that large; nothing to do where others do it."""

    def move(self, source: Path, target: Path) -> None:
        """Rename a file or directory within one file system, in one step. `sync_tree` puts that on disk, too."""

    def copy_tree(self, source: Path, target: Path) -> None:
        """Copy a directory with its modes as fast as the file system can; `target` must not exist."""

    def sync_tree(self, path: Path) -> None:
        """Return when all that was written to the file system of `path`, and by `write_file`, is on its disk."""

    def remove_tree(self, path: Path) -> None:
        """Remove a directory below the data volume with all it holds. Missing is fine."""

    def usage(self) -> Usage:
        """Return the space on the data volume."""

    def find_program(self, *names: str) -> str | None:
        """Return the path of the first of these programs that the sandbox has, or None."""


class Driver(Protocol):
    """A database engine on a host. Every verb may run twice. Raises `GuestError`, `NotFound`, `InvalidInput`, `Unavailable`."""

    def prepare(self, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Make the data directory unless it is there, write the configuration, start, wait until it answers, secure it.

        `progress(step, percent)` tells how far it is. A data directory that holds data is never overwritten.
        The caller makes sure that it all is on disk (`Host.sync_tree`) before it counts as done.
        """

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing when it runs."""

    def stop(self, *, timeout_s: float) -> None:
        """Stop the server cleanly; kill it after `timeout_s`. Does nothing when it does not run."""

    def probe(self) -> ServiceStatus:
        """Ask the server with a real statement: HEALTHY, RUNNING (starting), SHUTDOWN, CRASHED, BLOCKED."""

    def version(self) -> str | None:
        """Return the server's own version number, such as `10.11.19`; None while it does not answer."""

    def tend_logs(self) -> None:
        """Keep the server's own logs from growing without bounds. Cheap; called now and then while it runs."""

    def write_config(self, config: str) -> None:
        """Replace the configuration file; takes effect on the next start."""

    def wipe(self) -> None:
        """Stop the server and remove its data."""


class Databases(Protocol):
    """Facet: databases."""

    def create_databases(self, databases: Sequence[Database]) -> None:
        """Create databases, all or none checked beforehand; one that exists raises `InvalidInput`."""

    def list_databases(self, *, limit: int, marker: str | None) -> Page[Database]:
        """Return the tenant's databases by name after `marker` (exclusive); system ones are hidden."""

    def delete_database(self, name: str) -> None:
        """Drop a database; raises `NotFound`."""


class Users(Protocol):
    """Facet: users and grants. A user is its name and host together."""

    def create_users(self, users: Sequence[User]) -> None:
        """Create users with grants on their databases; one that exists raises `InvalidInput`, as does a missing database."""

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        """Return users by `name@host` after `marker` (exclusive), without passwords; system ones are hidden."""

    def get_user(self, name: str, host: str) -> User:
        """Return one user; raises `NotFound`."""

    def update_user(self, name: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        """Change what is not None, keeping grants. Raises `NotFound`, or `InvalidInput` when the new name@host is taken."""

    def delete_user(self, name: str, host: str) -> None:
        """Drop a user; raises `NotFound`."""

    def list_access(self, name: str, host: str) -> Sequence[str]:
        """Return the databases a user has rights on."""

    def grant_access(self, name: str, host: str, databases: Sequence[str]) -> None:
        """Grant all rights on databases; raises `NotFound` for the user or a database."""

    def revoke_access(self, name: str, host: str, database: str) -> None:
        """Revoke all rights on a database; raises `NotFound` when there are none."""


class Configuration(Protocol):
    """Facet: configuration groups. A server that runs with a configuration is never lost to another one that is bad."""

    def apply_config(self, config: str, *, at_restart: Collection[str]) -> bool:
        """Replace the configuration, at once where the server can; return whether some of it waits for the next start.

        `at_restart` are parameters to be left for the next start although the server could change them now. When the server
        refuses any of it, everything stays as it was, and `GuestError` says what was refused. May run twice.
        """

    def refused_config(self) -> str | None:
        """Return why the server did not start with the configuration written last, and was started with the one before it.

        None when it runs with the one written last.
        """


class Replication(Protocol):
    """Facet: replication from one source to many replicas. Every verb may run twice, also after a crash in its middle.

    Not more than one server of a set may take writes of tenants; who does is decided by who calls, who relies on three things:
    `make_read_only(True)` returns when no write can be acknowledged any more; a replica takes no writes of tenants, also while
    it is parted `for_failover`; and `enable_as_master` is what opens a server, as its very last deed.
    """

    def get_replication_snapshot(self, account: Account, *, progress: Callable[[str, int], None]) -> Mapping[str, JSON]:
        """Make the account for a replica, and whatever else lets it copy the data or follow from where its copy ends.

        What is returned is stored in the clear: it holds no secret.
        """

    def prepare_replica(
        self, *, config: str, snapshot: Mapping[str, JSON], source: Source, progress: Callable[[str, int], None]
    ) -> None:
        """Copy the data of the source, whatever there is here, start the server and have it follow its source.

        With `ReplicaBuild.BACKUP` the data directory was restored before; `snapshot["positions"]` are those of its `Dump`.
        """

    def attach_replica(self, source: Source | None) -> None:
        """Take no more writes of tenants and follow `source`; None is whom it followed last.

        A server whose own history has writes that the source never got is brought back to where they parted if the engine can
        do that; else it raises `GuestError` saying that it must be built anew, and changes nothing. It never follows silently
        with other data than its source. A server that is down, also on a machine that was made anew, comes up closed.
        """

    def detach_replica(self, *, for_failover: bool) -> None:
        """Apply all that was received, then follow nobody. It takes writes afterwards unless `for_failover`."""

    def make_read_only(self, read_only: bool) -> None:
        """Take no more writes of tenants, or take them again."""

    def enable_as_master(self, accounts: Sequence[Account]) -> None:
        """Let replicas log in with these accounts, existing ones with their new passwords; then take writes."""

    def demote_replication_master(self) -> None:
        """Forget what only a source needs; the server follows another one by now."""

    def cleanup_source_on_replica_detach(self, account: str) -> None:
        """Remove the account of a replica that follows no more, and what was kept for its snapshot. Missing is fine."""

    def get_latest_txn_id(self) -> str:
        """Return the last write that this source took, as `wait_for_txn` of its replicas understands it."""

    def wait_for_txn(self, txn: str, *, timeout_s: float) -> None:
        """Return when a write of the source is applied here; raises `GuestError` after `timeout_s` seconds."""

    def get_last_txn(self) -> Received:
        """Return how far the writes of the source have been received, applied or not."""

    def replica_state(self) -> ReplicaState | None:
        """Return whether and how closely this server follows its source; None when it is not a replica. Cheap: often asked."""


class Upgrades(Protocol):
    """Facet: another version of the server on the same data. Every verb may run twice, also after a crash in its middle.

    In order: `check_upgrade` where the old version runs; the database server is stopped cleanly; its machine is made anew with
    the image of the new version, and only the volume stays; there `upgrade`, `Driver.start`, then `finish_upgrade`. Or else the
    machine is made anew with the old image; there `revert_upgrade`, then `Driver.prepare` as on any that was made anew.
    """

    def check_upgrade(self, version: str) -> None:
        """Raise `GuestError` saying what stands in the way of an upgrade to `version`, such as space; change nothing."""

    def upgrade(self, version: str, *, config: str, progress: Callable[[str, int], None]) -> None:
        """Start this version of the server with this configuration, and bring its data up to it.

        What `revert_upgrade` needs is kept on the volume before anything of the data is changed. The server has run with this
        configuration and is stopped when this returns, and no tenant was let in: `Driver.start` does that, and from then on
        there is no way back.
        """

    def revert_upgrade(self) -> None:
        """Bring the data back to what they were before `upgrade`, on a machine of the old version. Without one: nothing."""

    def finish_upgrade(self) -> None:
        """Remove what was kept for `revert_upgrade`."""


class Dump(Protocol):
    """A backup that is being made: a stream in the engine's own form."""

    @property
    def chunks(self) -> Iterator[bytes]:
        """Return the stream."""

    def positions(self) -> Mapping[str, JSON]:
        """Return where the backup ends, in the engine's words; only after the last chunk. The next incremental begins there."""


class Backups(Protocol):
    """Facet: backups. The server goes on serving while one is made."""

    encoding: str
    """What the stream is, such as `mbstream`."""

    def dump(self, *, since: Mapping[str, JSON] | None) -> AbstractContextManager[Dump]:
        """Begin a backup: of everything, or of what changed since those positions. Nothing is left when the block ends."""

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        """Make the data directory from backups, the full one first; each stream is opened once, in their order.

        What a stream raises passes through. The data directory appears whole or not at all; one that is there is left alone.
        """


class Logs(Protocol):
    """Facet: logs of the database server, which are files beside it."""

    def log_file(self, name: str) -> Path:
        """Return where a log of the spec is, or will be once it is written to."""

    def log_enabled(self, name: str) -> bool:
        """Tell whether the server writes a log, or will when it runs."""

    def enable_log(self, name: str, *, enabled: bool) -> None:
        """Have the server write a USER log, or not, at once and after each start. May run twice."""


class Root(Protocol):
    """Facet: the superuser."""

    def enable_root(self, password: str) -> None:
        """Let the superuser log in from anywhere with this password. May be repeated with another one."""

    def disable_root(self) -> None:
        """Take the superuser's log-in away."""

    def root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""


class TlsServing(Protocol):
    """Facet: TLS with a certificate of the tenant's.

    What was applied last is kept on the data volume beside the data, readable by the server's user alone, and holds after a
    restart, on a machine that was made anew, and with another configuration; it is in no backup.
    """

    def apply_tls(self, tls: Tls | None) -> bool:
        """Serve with this certificate and let in whom its mode says, or do what the server does by itself with None.

        Returns whether it waits for the next start of the server. When the server refuses it, everything stays as it was, and
        `GuestError` says what was refused. The agent and the replicas get in with each mode. May run twice.
        """


class Clustering(Protocol):
    """Facet: clusters. What is done to databases and users on one member holds for all members. Every verb may run twice."""

    def install_cluster(self, membership: Membership) -> None:
        """Have the running server found the cluster, or join it, and wait until it is in step with the others."""

    def update_cluster(self, membership: Membership) -> None:
        """Tell a member who belongs to the cluster from now on, and what the members know each other by, if that is new."""

    def leave_cluster(self) -> None:
        """Have a member leave in good order; its server and its data are removed after that."""

    def cluster_complete(self) -> None:
        """Tell a member that all have joined: what waits for the whole cluster can be done now."""
