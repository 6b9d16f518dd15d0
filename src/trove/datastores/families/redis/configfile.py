"""The configuration file of a server, and beside it what the server is known to run with."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from trove.datastores.contract import Host
from trove.datastores.families.redis.options import read_config


class ConfigFile:
    """Beside the file itself: `good`, which the server took last, and `started`, the one that it last started with.

    `refused` is why the server did not start with what was written last, and runs with one of these; None when it does.
    """

    def __init__(self, host: Host, path: Path) -> None:
        self._host = host
        self.path = path
        self.refused: str | None = None
        self._good = path.with_name(f"{path.name}.good")
        self._started = path.with_name(f"{path.name}.started")
        self._put_aside: bytes | None = None

    def write(self, config: str, *, lasting: bool = True) -> None:
        """Replace the file."""
        self._host.write_file(self.path, config.encode(), lasting=lasting)
        self.refused = None

    def read(self) -> Mapping[str, str]:
        """Return the options of the file by name."""
        return read_config((self._host.read_file(self.path) or b"").decode())

    def started(self) -> None:
        """Note that the server has started with the file as it is."""
        content = self._host.read_file(self.path) or b""
        self._note(self._started, content)
        self._note(self._good, content)

    def taken(self) -> None:
        """Note that the server, which runs, would start with the file as it is."""
        self._note(self._good, self._host.read_file(self.path) or b"")

    def known(self) -> Mapping[str, str]:
        """Return all options that the running server may have been given, by name."""
        found: dict[str, str] = {}
        for path in (self._started, self._good, self.path):
            found |= read_config((self._host.read_file(path) or b"").decode())
        return found

    def fall_backs(self, complaint: str) -> Iterator[None]:
        """Put in the place of a file that the server does not start with what it is known to run with, the last first."""
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
