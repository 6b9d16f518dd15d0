"""The configuration file of a server, and beside it what the server is known to run with."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from trove.datastores.contract import Host
from trove.datastores.families.mysql.options import read_config, write_config


class ConfigFile:
    """Beside the file itself: `started`, the one that the server last started with, and `good`, what it was given since.

    `refused` is why the server did not start with what was written last, and runs with one of these; None when it does.
    """

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self.path: Path = host.config_dir / name
        self.refused: str | None = None
        self._good = self.path.with_name(f"{name}.good")
        self._started = self.path.with_name(f"{name}.started")
        self._put_aside: bytes | None = None

    def write(self, config: str, *, lasting: bool = True) -> None:
        """Replace the file."""
        self._host.write_file(self.path, config.encode(), lasting=lasting)
        self.refused = None

    def started(self) -> None:
        """Note that the server has started with the file as it is."""
        content = self._host.read_file(self.path) or b""
        self._note(self._started, content)
        self._note(self._good, content)

    def running(self) -> Mapping[str, str]:
        """Return the options that the running server was given, by name."""
        content = self._host.read_file(self._good)
        if content is None:
            # It was started by an agent that did not note them yet.
            content = self._host.read_file(self.path) or b""
            self._note(self._good, content)
        return read_config(content.decode())

    def changed(self, options: Mapping[str, str]) -> None:
        """Note what the running server was given instead."""
        self._note(self._good, write_config(options).encode())

    def fall_backs(self, complaint: str) -> Iterator[None]:
        """Put in the place of a file that the server does not start with what it is known to have run with, the last first."""
        self._put_aside = self._host.read_file(self.path) or b""
        tried = [read_config(self._put_aside.decode())]
        for known in (self._good, self._started):
            content = self._host.read_file(known)
            if content is not None and (options := read_config(content.decode())) not in tried:
                tried.append(options)
                self._host.write_file(self.path, content)
                self.refused = complaint
                yield

    def undo_fall_back(self) -> None:
        """Put the file back that was not the cause after all."""
        if self.refused is not None and self._put_aside is not None:
            self._host.write_file(self.path, self._put_aside)
        self.refused = self._put_aside = None

    def _note(self, path: Path, content: bytes) -> None:
        if self._host.read_file(path) != content:
            self._host.write_file(path, content, lasting=False)
