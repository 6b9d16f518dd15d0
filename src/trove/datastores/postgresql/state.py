"""What a server must remember beside its data, on the volume, because it outlives the machine and its configuration."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trove.core.replication import Account, Source
from trove.datastores.contract import Host

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Whom a replica follows. The password is in a file of its own, which only the server reads."""

    host: str
    port: int
    account: str


class State:
    """Small files in a directory of their own on the volume."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.folder: Path = host.data_dir / "state"
        self.password_file = self.folder / "source.pgpass"
        self._source = self.folder / "source.json"
        self._logs = self.folder / "logs.json"
        self._flags = {name: self.folder / name for name in ("closed", "parted", "rewinding")}

    def followed(self) -> Followed | None:
        """Return whom this server follows, or last followed; None when it never did or is done with that."""
        kept = self._read(self._source)
        try:
            return Followed(host=str(kept["host"]), port=int(str(kept["port"])), account=str(kept["account"]))
        except (KeyError, ValueError):
            return None

    def follow(self, source: Source) -> None:
        """Remember a source, and the password for it."""
        self._host.make_dir(self.folder)
        self._host.write_file(self.password_file, password_line(source.account))
        told = {"host": source.host, "port": source.port, "account": source.account.name}
        self._host.write_file(self._source, json.dumps(told).encode())

    def following(self) -> Followed | None:
        """Return whom this server is to follow now."""
        return None if self.flag("closed") or self.flag("parted") else self.followed()

    def forget_source(self) -> None:
        """Remember no source any more."""
        for path in (self._source, self.password_file):
            path.unlink(missing_ok=True)

    def flag(self, name: str) -> bool:
        """Tell whether a flag is set.

        `closed`: it was a source, takes no writes, and follows nobody. `parted`: it was a replica, and the same holds.
        `rewinding`: the data are of no use until that is done.
        """
        return self._flags[name].exists()

    def set_flag(self, name: str, *, on: bool) -> None:
        """Set a flag, or take it away, for good."""
        if not on:
            self._flags[name].unlink(missing_ok=True)
        elif not self.flag(name):
            self._host.make_dir(self.folder)
            self._host.write_file(self._flags[name], b"")

    def logs(self) -> Mapping[str, bool]:
        """Return the logs that tenants have switched, and how."""
        return {name: bool(value) for name, value in self._read(self._logs).items()}

    def switch_log(self, name: str, *, enabled: bool) -> None:
        """Remember how a log was switched."""
        self._host.make_dir(self.folder)
        self._host.write_file(self._logs, json.dumps({**self.logs(), name: enabled}).encode())

    def _read(self, path: Path) -> dict[str, object]:
        content = self._host.read_file(path)
        try:
            found = json.loads(content or b"{}")
        except ValueError:
            LOG.error("%s cannot be read: it is taken as empty", path.name)
            found = {}
        return found if isinstance(found, dict) else {}


def password_line(account: Account) -> bytes:
    """Return the content of a password file for an account. Source: "The Password File" of PostgreSQL's manual."""
    words = ("*", "*", "*", account.name, account.password)
    return ":".join(word.replace("\\", "\\\\").replace(":", "\\:") for word in words).encode() + b"\n"
