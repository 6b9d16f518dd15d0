"""Where a local stack keeps what: one state directory, found by the same rule each time."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MARKER = "stack.json"
MAX_SOCKET_PATH = 107


class StackError(Exception):
    """Something the user of trove-local must know or do; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of one stack below `root`."""

    root: Path

    @property
    def settings(self) -> Path:
        """Return the file with the options of the last `up`; its presence marks a state directory."""
        return self.root / MARKER

    @property
    def conf(self) -> Path:
        """Return the generated trove.conf."""
        return self.root / "etc" / "trove.conf"

    @property
    def override(self) -> Path:
        """Return the file of the user's own options, which win over the generated ones and are never written."""
        return self.root / "etc" / "override.conf"

    @property
    def paste(self) -> Path:
        """Return the generated api-paste.ini."""
        return self.root / "etc" / "api-paste.ini"

    @property
    def keys(self) -> Path:
        """Return the directory of keys and passwords (0700)."""
        return self.root / "keys"

    @property
    def run(self) -> Path:
        """Return the directory of locks, process records and sockets."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """Return the directory of the services' logs."""
        return self.root / "log"

    @property
    def cloud(self) -> Path:
        """Return the state directory of the local cloud: servers, volumes, templates."""
        return self.root / "cloud"

    @property
    def objects(self) -> Path:
        """Return the directory of the object store, where backups are."""
        return self.root / "objects"

    @property
    def objects_port(self) -> Path:
        """Return the file with the port on which guests reach the object store."""
        return self.root / "etc" / "objects.port"

    @property
    def bus(self) -> Path:
        """Return the directory of the embedded bus."""
        return self.root / "bus"

    @property
    def bus_socket(self) -> Path:
        """Return the socket of the embedded bus."""
        return self.bus / "bus.sock"

    @property
    def notify_socket(self) -> Path:
        """Return the socket on which services tell the supervisor that they are alive."""
        return self.run / "notify"

    @property
    def services(self) -> Path:
        """Return the file that tells the supervisor what to run."""
        return self.run / "services.json"

    @property
    def supervisor(self) -> Path:
        """Return the record of the supervisor's process."""
        return self.run / "supervisor.json"

    def record(self, service: str) -> Path:
        """Return the record of a service's process."""
        return self.run / f"{service}.process.json"

    def log_of(self, service: str) -> Path:
        """Return the log file of a service."""
        return self.log / f"{service}.log"

    def exists(self) -> bool:
        """Tell whether a stack has been set up here."""
        return self.settings.exists()

    def _holds_others(self) -> bool:
        return bool({entry.name for entry in self.root.iterdir()} - {"etc", "keys", "run", "log", "cloud", "lost+found"})

    def create(self) -> None:
        """Make the directories. Refuses a directory that holds something else. May run twice."""
        if self.root.is_dir() and not self.exists() and self._holds_others():
            raise StackError(f"{self.root} is not empty and holds no trove-local stack; choose another --state-dir")
        longest = len(os.fsencode(self.bus_socket))
        if longest > MAX_SOCKET_PATH:
            room = MAX_SOCKET_PATH - longest + len(os.fsencode(self.root))
            raise StackError(f"{self.root} is too long a path for a socket in it; choose a --state-dir of at most {room} bytes")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if stat.S_IMODE(self.root.stat().st_mode) != 0o711:
                self.root.chmod(0o711)
            for directory, mode in (
                (self.keys, 0o700),
                (self.run, 0o711),
                (self.log, 0o700),
                (self.conf.parent, 0o700),
                (self.cloud, 0o711),
            ):
                directory.mkdir(exist_ok=True, mode=mode)
                directory.chmod(mode)  # Whatever the umask is: guests must get through to their own.
        except OSError as error:
            raise StackError(f"cannot make the state directory {self.root}: {error.strerror}") from error


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state directory when none is named: the machine's for root, else the user's own (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/trove-local")
    base = environ.get("XDG_STATE_HOME") or ""
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "trove-local"


def layout_at(state_dir: str | None, environ: Mapping[str, str] = os.environ) -> Layout:
    """Return the layout for `--state-dir`, or for $TROVE_LOCAL_STATE_DIR, or the default."""
    named = state_dir or environ.get("TROVE_LOCAL_STATE_DIR")
    return Layout(root=Path(named).expanduser().absolute() if named else default_root(environ))


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
