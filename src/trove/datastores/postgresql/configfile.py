"""The configuration of a PostgreSQL server: what it was told, what it runs with, and what it is known to have started with."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from trove.datastores.contract import Host
from trove.datastores.postgresql.options import read_config, write_config


class ConfigFile:
    """`written` is for the next start, `running` is what the server reads, `started` what it last started with.

    `refused` is why the server did not start with what was written last, and runs with one of the others; None when it does.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.path: Path = host.config_dir / "postgresql.conf"
        self.running_path: Path = host.config_dir / "running.conf"
        self.refused: str | None = None
        self._started = host.config_dir / "started.conf"
        self._before: bytes | None = None

    def write(self, config: str, *, lasting: bool = True) -> None:
        """Replace what the next start is with."""
        self._host.write_file(self.path, config.encode(), lasting=lasting)
        self.refused = None

    def use_written(self) -> None:
        """Let the start that follows be with what was written last."""
        self._before = self._host.read_file(self.running_path)
        self._put(self.running_path, self._host.read_file(self.path) or b"")

    def started(self) -> None:
        """Note that the server has started with what it reads now."""
        self._put(self._started, self._host.read_file(self.running_path) or b"")

    def running(self) -> Mapping[str, str]:
        """Return what the running server was given, by name."""
        return read_config((self._host.read_file(self.running_path) or b"").decode())

    def change(self, options: Mapping[str, str]) -> None:
        """Give the running server something else to read."""
        self._put(self.running_path, write_config(options).encode())

    def fall_backs(self) -> Iterator[None]:
        """Have the server read, instead of what it does not start with, what it is known to have run with, the last first."""
        tried = [read_config((self._host.read_file(self.path) or b"").decode())]
        for known in (self._before, self._host.read_file(self._started)):
            if known is not None and (options := read_config(known.decode())) not in tried:
                tried.append(options)
                self._put(self.running_path, known)
                yield

    def keep_fall_back(self, complaint: str) -> None:
        """Note that the server runs with what it reads now, and why not with what was written."""
        self._host.write_file(self.path, self._host.read_file(self.running_path) or b"")
        self.refused = complaint

    def undo_fall_back(self) -> None:
        """Read the file again that was not the cause after all."""
        self._put(self.running_path, self._host.read_file(self.path) or b"")

    def _put(self, path: Path, content: bytes) -> None:
        if self._host.read_file(path) != content:
            self._host.write_file(path, content, lasting=False)
