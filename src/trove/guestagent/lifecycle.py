"""The long verbs of an instance: prepare, restart, stop. Each may run twice, also after a crash in the middle."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, cast

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, Unsupported
from trove.core.json import JSON
from trove.core.pages import Page
from trove.core.units import GIB
from trove.datastores.contract import Configuration, Databases, Driver, Facet, Root, Users
from trove.guestagent import arguments
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.ledger import Ledger, Prepared

STOP_TIMEOUT_S = 120.0

_PAGE = 1000

T = TypeVar("T")


class Lifecycle:
    """Does the verbs. `turn` is held while the server is started or stopped, so that only one does it.

    `root_enabled(user)` is told when a superuser was let in on the way.
    """

    def __init__(self, engine: Engine, ledger: Ledger, turn: threading.RLock, *, root_enabled: Callable[[str], None]) -> None:
        self._engine = engine
        self._driver = engine.driver
        self._ledger = ledger
        self._turn = turn
        self._root_enabled = root_enabled

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {
            "prepare": self.prepare,
            "backup": self.back_up,
            "restart": self.restart,
            "configure": self.configure,
            "start": self.start,
            "stop": self.stop,
            "grow_volume": self.grow_volume,
        }

    def prepare(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Make the instance: server, databases, users, superuser. Done means that all of them are there and on disk."""
        config = arguments.text(args, "config")
        databases = arguments.databases(args)
        users = arguments.users(args)
        password = arguments.optional_text(args, "root_password")
        try:
            with self._taken():
                if args.get("restore") is not None:
                    from trove.guestagent import backups  # noqa: PLC0415  few agents ever need it

                    backups.restore(self._engine, arguments.mapping(args, "restore"), progress)
                self._driver.prepare(config=config, progress=progress)
            if databases:
                progress("creating databases", 85)
                self._ensure_databases(databases)
            if users:
                progress("creating users", 90)
                self._ensure_users(users)
            if password is not None:
                cast("Root", self._facet(Facet.ROOT)).enable_root(password)
                self._root_enabled(self._engine.spec.root_name)
            self._engine.host.sync_tree(self._engine.host.data_dir)
        except Exception:
            self._ledger.update(prepared=Prepared.FAILED)
            raise
        self._ledger.update(prepared=Prepared.YES, wanted=True)
        return {"version": self._driver.version()}

    def back_up(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Store a backup in the object store, while the server goes on serving."""
        from trove.guestagent import backups  # noqa: PLC0415

        return backups.back_up(self._engine, args, progress)

    def restart(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Stop and start the server, with a new configuration if one is given."""
        config = arguments.optional_text(args, "config")
        with self._taken():
            self._ledger.update(wanted=True)
            progress("stopping the server", 10)
            self._driver.stop(timeout_s=STOP_TIMEOUT_S)
            if config is not None:
                self._driver.write_config(config)
            progress("starting the server", 50)
            self._driver.start()
        if config is not None:
            self._need_accepted()
        return {"version": self._driver.version()}

    def configure(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Replace the configuration, at once where the server can; `restart_required` tells whether some of it waits."""
        config, at_restart = arguments.text(args, "config"), arguments.texts(args, "at_restart")
        facet = cast("Configuration", self._facet(Facet.CONFIGURATION))
        with self._taken():
            progress("applying the configuration", 10)
            return {"restart_required": facet.apply_config(config, at_restart=at_restart)}

    def start(self, _args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Start the server unless it runs, and from now on keep it running."""
        with self._taken():
            self._ledger.update(wanted=True)
            progress("starting the server", 50)
            self._driver.start()
        return {"version": self._driver.version()}

    def stop(self, _args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Stop the server and leave it stopped."""
        with self._taken():
            self._ledger.update(wanted=False)
            progress("stopping the server", 10)
            self._driver.stop(timeout_s=STOP_TIMEOUT_S)
        return {}

    def grow_volume(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Let the file system fill the volume, which the cloud made larger, under the server that runs."""
        size_gib = args.get("size_gib")
        if not isinstance(size_gib, int) or size_gib < 1:
            raise InvalidInput("size_gib: must be a number of GiB, at least 1")
        progress("growing the file system", 10)
        self._engine.host.grow_volume(size_gib * GIB)
        return {"total_bytes": self._engine.host.usage().total}

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._engine.head_start is not None:
            self._engine.head_start.wait()
        with self._turn:
            yield

    # An agent that died half-way left some of them behind: then what is there is brought to what was asked for. That is the
    # exception, so it is looked for only when some are in the way.

    def _ensure_databases(self, databases: tuple[Database, ...]) -> None:
        door = cast("Databases", self._facet(Facet.DATABASES))
        try:
            door.create_databases(databases)
        except InvalidInput:
            there = {database.name for database in _all(door.list_databases)}
            if there.isdisjoint(database.name for database in databases):
                raise
            door.create_databases([database for database in databases if database.name not in there])

    def _ensure_users(self, users: tuple[User, ...]) -> None:
        door = cast("Users", self._facet(Facet.USERS))
        try:
            door.create_users(users)
        except InvalidInput:
            there = {(user.name, user.host) for user in _all(door.list_users)}
            if there.isdisjoint((user.name, user.host) for user in users):
                raise
            door.create_users([user for user in users if (user.name, user.host) not in there])
            for user in users:
                if (user.name, user.host) in there:
                    door.update_user(user.name, user.host, new_name=None, new_host=None, password=user.password)
                    door.grant_access(user.name, user.host, user.databases)

    def _need_accepted(self) -> None:
        """Raise `GuestError` when the server runs, but not with the configuration that it was given."""
        if Facet.CONFIGURATION not in self._engine.spec.facets:
            return
        refused = cast("Configuration", self._driver).refused_config()
        if refused is not None:
            raise GuestError(f"The database server runs with its configuration from before. With the new one: {refused}")

    def _facet(self, facet: Facet) -> Driver:
        if facet not in self._engine.spec.facets:
            raise Unsupported(f"{self._engine.spec.title} has no {facet.value}.")
        return self._driver


def _all(pages: Callable[..., Page[T]]) -> Iterator[T]:
    """Yield everything that is listed in pages."""
    page = pages(limit=_PAGE, marker=None)
    yield from page.items
    while page.next_marker is not None:
        page = pages(limit=_PAGE, marker=page.next_marker)
        yield from page.items
