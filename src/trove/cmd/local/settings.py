"""What the user chose at `up`, remembered in the state directory for later commands."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from trove.cmd.local.layout import Layout, StackError, write_private
from trove.core.ids import new_id

EMBEDDED = "embedded"
SQLITE = "sqlite"
FILE = "file"
DATABASE = "database"
BASIC = "basic"
KEYSTONE = "keystone"
HOST = "127.0.0.1"

BUS_SCHEMES = ("rabbit://", "amqp://", "amqps://", "redis://", "rediss://", "valkey://", "valkeys://", "valkey+unix://")
LOCK_SCHEMES = ("file://", "mysql://", "postgresql://", "etcd3+http://", "etcd3+https://", "redis://", "rediss://")
MOST_TASK_MANAGERS = 8
DATABASE_SCHEMES = ("mysql+pymysql://", "postgresql+psycopg://")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """The options of a stack. `project` is the admin's project id with basic authentication.

    `watchdog_s` is the silence, in seconds, after which a service is taken to hang; 0 waits for ever.
    """

    port: int = 8779
    bus: str = field(default=EMBEDDED, repr=False)
    database: str = field(default=SQLITE, repr=False)
    task_managers: int = 1
    locks: str = field(default=FILE, repr=False)
    watchdog_s: float = 30.0
    auth: str = BASIC
    auth_url: str | None = None
    auth_user: str | None = None
    auth_password: str | None = field(default=None, repr=False)
    auth_project: str | None = None
    auth_domain: str = "Default"
    region: str = "RegionOne"
    project: str = field(default_factory=lambda: new_id().replace("-", ""))

    @property
    def url(self) -> str:
        """Return the root URL of the API."""
        return f"http://{HOST}:{self.port}"

    def check(self) -> None:
        """Raise `StackError` naming the option when a value cannot work."""
        if not 1 <= self.port <= 65535:
            raise StackError(f"--port: {self.port} is not a port number (1 to 65535)")
        if self.bus != EMBEDDED and not self.bus.startswith(BUS_SCHEMES):
            raise StackError(f"--bus: neither `{EMBEDDED}` nor a URL that begins with {', '.join(BUS_SCHEMES)}")
        if self.database != SQLITE and not self.database.startswith(DATABASE_SCHEMES):
            raise StackError(f"--database: neither `{SQLITE}` nor a URL that begins with {', '.join(DATABASE_SCHEMES)}")
        if not 1 <= self.task_managers <= MOST_TASK_MANAGERS:
            raise StackError(f"--task-managers: {self.task_managers} is not a number from 1 to {MOST_TASK_MANAGERS}")
        if self.locks == DATABASE and self.database == SQLITE:
            raise StackError("--locks database: SQLite has no locks for this; name a MariaDB or PostgreSQL with --database")
        if self.locks not in {FILE, DATABASE} and not self.locks.startswith(LOCK_SCHEMES):
            raise StackError(f"--locks: neither `{FILE}`, `{DATABASE}` nor a URL that begins with {', '.join(LOCK_SCHEMES)}")
        if not (self.watchdog_s == 0 or 1 <= self.watchdog_s <= 3600):
            raise StackError(f"--watchdog: {self.watchdog_s:g} is neither 0 nor from 1 to 3600 seconds")
        if self.auth == KEYSTONE:
            missing = [
                f"--auth-{name}"
                for name, value in (
                    ("url", self.auth_url),
                    ("user", self.auth_user),
                    ("password", self.auth_password),
                    ("project", self.auth_project),
                )
                if not value
            ]
            if missing:
                raise StackError(f"Keystone authentication needs {', '.join(missing)} too")


def load(layout: Layout) -> StackSettings | None:
    """Return the remembered options, None when there is no stack."""
    try:
        stored = json.loads(layout.settings.read_text())
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StackError(f"{layout.settings} belongs to another user; run as that user or name another --state-dir") from error
    except ValueError as error:
        raise StackError(f"{layout.settings} is damaged: {error}") from error
    known = {one.name for one in fields(StackSettings)}
    return StackSettings(**{name: value for name, value in stored.items() if name in known})


def save(layout: Layout, settings: StackSettings) -> None:
    """Remember the options."""
    write_private(layout.settings, json.dumps(asdict(settings), indent=1))


def merged(remembered: StackSettings | None, chosen: Mapping[str, object]) -> StackSettings:
    """Return what was remembered (or the defaults) with what is not None in `chosen`; raises `StackError` when it cannot work.

    Naming an `auth_url` chooses Keystone, `auth=basic` forgets it.
    """
    changes = {name: value for name, value in chosen.items() if value is not None}
    if changes.get("auth_url"):
        if changes.get("auth") == BASIC:
            raise StackError("--auth basic contradicts --auth-url")
        changes["auth"] = KEYSTONE
    elif changes.get("auth") == BASIC:
        changes |= {"auth_url": None, "auth_user": None, "auth_password": None, "auth_project": None}
    settings = replace(remembered or StackSettings(), **changes)  # type: ignore[arg-type]
    settings.check()
    return settings
