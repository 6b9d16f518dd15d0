"""The logs of a server: where they are, and which of them the server is told to write each time it starts."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from trove.core.errors import InvalidInput
from trove.core.logs import LogType
from trove.core.units import MIB
from trove.datastores.contract import Host
from trove.datastores.families.mysql.dialect import Dialect
from trove.datastores.families.mysql.sql import Session

LOG = logging.getLogger(__name__)

LONGEST_LOG = 10 * MIB
"""A log and the one before it may each have this size, and what the server writes in a minute."""

_SWITCHES: Mapping[str, str] = {"general": "general_log", "slow_query": "slow_query_log"}
_FLUSHED: Mapping[str, str] = {"general": "GENERAL", "slow_query": "SLOW", "error": "ERROR"}


class ServerLogs:
    """The files, and what tenants have switched. What they have not is left to the configuration file."""

    def __init__(self, host: Host, dialect: Dialect) -> None:
        self._host = host
        self._title = dialect.title
        self._logs = dialect.logs
        # On the volume, which outlives the server when that is made anew.
        self._kept = host.data_dir / "switched-logs.json"

    def file(self, name: str) -> Path:
        """Return the file of a log."""
        if name not in self._logs:
            raise InvalidInput(f"{self._title} has no log {name}; it has {', '.join(self._logs)}.")
        return self._host.log_dir / f"{name}.log"

    def options(self) -> tuple[str, ...]:
        """Return what the server is started with. It wins over the configuration file."""
        switched = self._switched()
        files = [f"--{option}_file={self.file(name)}" for name, option in _SWITCHES.items()]
        flags = [f"--{_SWITCHES[name]}={'ON' if is_on else 'OFF'}" for name, is_on in switched.items() if name in _SWITCHES]
        return (*files, *flags)

    def enabled(self, name: str, server: Session | None) -> bool:
        """Tell whether a log is written: by the server that runs, else by what it will be started with."""
        if self._logs[name] is LogType.SYS:
            return True
        if server is None:
            return self._switched().get(name, False)
        ((value,),) = server.run(f"SELECT @@GLOBAL.{_SWITCHES[name]}")
        return bool(int(value))

    def switch(self, name: str, server: Session | None, *, enabled: bool) -> None:
        """Have a log written or not from now on. What is kept comes first: a crash must not lose what was asked for."""
        self._host.write_file(self._kept, json.dumps({**self._switched(), name: enabled}).encode())
        if server is not None:
            server.run(f"SET GLOBAL {_SWITCHES[name]}_file = %s", str(self.file(name)))
            server.run(f"SET GLOBAL {_SWITCHES[name]} = {'ON' if enabled else 'OFF'}")

    def put_long_aside(self) -> tuple[str, ...]:
        """Move logs aside that have grown long, each in the place of the one before it; return which."""
        return tuple(name for name in self._logs if self._put_aside(self.file(name)))

    def missing(self) -> tuple[str, ...]:
        """Return the logs that the server is to open anew, for nobody sees what it writes to them."""
        return tuple(name for name, kind in self._logs.items() if kind is LogType.SYS and not self.file(name).exists())

    def flush(self, server: Session, names: tuple[str, ...]) -> None:
        """Have the server open logs anew. Source: "FLUSH" of the manuals of MariaDB and MySQL."""
        for name in names:
            server.run(f"FLUSH LOCAL {_FLUSHED[name]} LOGS")

    def _put_aside(self, path: Path) -> bool:
        if not path.exists() or path.stat().st_size <= LONGEST_LOG:
            return False
        self._host.move(path, path.with_name(f"{path.name}.1"))
        return True

    def _switched(self) -> dict[str, bool]:
        content = self._host.read_file(self._kept)
        if content is None:
            return {}
        try:
            kept = json.loads(content)
            return {name: bool(kept[name]) for name in _SWITCHES if name in kept}
        except (ValueError, TypeError):
            LOG.error("%s cannot be read: logs are as the configuration says", self._kept.name)
            return {}
