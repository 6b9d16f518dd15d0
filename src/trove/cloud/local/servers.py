"""Servers of the local cloud: a directory, a supervised guest agent, and beside it the database server that it starts.

`servers/<instance id>/` belongs to the cloud; only `state`, `log`, `config` and `run` in it belong to the instance's user, so
a conquered agent cannot change what the cloud believes (`server.json`) or what it is told (`conf.d`). `server.json` is written
last: without it the directory is a ruin that the next `ensure` clears. The file `stop` says that the server shall not run,
`fence` that it shall not when all are started either.
"""

import hashlib
import logging
import os
import re
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from trove.cloud.contract import ServerSpec
from trove.cloud.local.processes import ProcessSet
from trove.cloud.local.records import make_directory, read_record, read_untrusted, remove_tree, write_file, write_record
from trove.cloud.local.supervisor import LOG_NAME, REPEATED_FAILURES, Failure, Supervisor, SupervisorFiles
from trove.core.flavors import Flavor
from trove.core.status import ServerStatus
from trove.core.units import GIB

LOG = logging.getLogger(__name__)

MAX_RUN_DIR = 80
"""A socket's whole path may have 107 bytes."""

SHORT_RUN_DIRS = Path("/run/trove")
"""As root: where the directories of sockets go that would have too long a path."""

_SECRET = re.compile(r"^\s*\w*(?:key|url|password|secret|token)\w*\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the agent is told about its machine; becomes `host.conf`. `volume_gib` is set when nothing else limits the size."""

    address: str
    data_dir: Path
    template_dir: Path | None
    sandbox: str
    namespaces: tuple[str, ...]
    hide: tuple[Path, ...]
    volume_gib: int | None = None
    image_id: str = "host"
    root_dir: Path | None = None


class ServerHome:
    """The directory of one server, with its processes. `uid` is None when instances have no user of their own."""

    def __init__(self, path: Path, uid: int | None, data_dir: Path) -> None:
        self.path = path
        self.uid = uid
        self.data_dir = data_dir
        self.config_files = path / "conf.d"
        self.state = path / "state"
        self.log = path / "log"
        self.config = path / "config"
        self.run = run_directory(path)
        self.lock = path / "supervisor.lock"
        self.stop_marker = path / "stop"
        self.fence = path / "fence"
        self.processes = ProcessSet(marker=path, uid=uid, paths=(data_dir, self.run, self.config))
        files = SupervisorFiles(lock=self.lock, stop=self.stop_marker, state=self.state, log=self.log / LOG_NAME)
        self.supervisor = Supervisor(files, self.processes, self.config_files)

    def record(self) -> dict[str, Any] | None:
        """Return `server.json`, None when there is no whole server here."""
        return read_record(self.path / "server.json")

    def create(self, spec: ServerSpec, placement: Placement) -> None:
        """Make the directory whole. What an interrupted run left is removed first."""
        if self.path.exists():
            self.processes.kill()
            remove_tree(self.path)
        make_directory(self.path, mode=0o755)
        for owned in (self.state, self.log, self.config):
            make_directory(owned, mode=0o700, owner=self.uid)
        make_directory(self.config_files, mode=0o750)
        if self.uid is not None:
            os.chown(self.config_files, -1, self.uid)
        self.write_config_files(spec, placement)
        write_file(self.lock, b"", owner=self.uid)
        record = {
            "name": spec.name,
            "project_id": spec.project_id,
            "manager": spec.manager,
            "flavor_id": spec.flavor.id,
            "ram_mib": spec.flavor.ram_mib,
            "template_dir": None if placement.template_dir is None else str(placement.template_dir),
            "image_id": placement.image_id,
            "root_dir": None if placement.root_dir is None else str(placement.root_dir),
        }
        write_record(self.path / "server.json", record)

    def record_flavor(self, flavor: Flavor) -> None:
        """Note that the server has another flavor. May run twice."""
        record = self.record()
        assert record is not None
        write_record(self.path / "server.json", {**record, "flavor_id": flavor.id, "ram_mib": flavor.ram_mib})

    def tell_volume_size(self, size_gib: int) -> None:
        """Have the agent, where it is who watches the size of the volume, start again to learn the new one. May run twice."""
        path = self.config_files / "host.conf"
        parser = ConfigParser(interpolation=None)
        parser.read_string(path.read_text())
        if parser.has_option("host", "volume_bytes"):
            parser["host"]["volume_bytes"] = str(size_gib * GIB)
            text = StringIO()
            parser.write(text)
            write_file(path, text.getvalue().encode(), owner=self.uid)
            self.supervisor.restart_agent()

    def write_config_files(self, spec: ServerSpec, placement: Placement | None) -> bool:
        """Write the files of the agent; tell whether one of the caller's changed. `host.conf` only with a placement."""
        changed = False
        for name, content in spec.files.items():
            assert Path(name).name == name
            path = self.config_files / name
            if not path.exists() or path.read_bytes() != content:
                write_file(path, content, owner=self.uid)
                changed = True
        if placement is not None:
            write_file(self.config_files / "host.conf", self._host_conf(placement), owner=self.uid)
        return changed

    def make_run_directory(self) -> None:
        """Ensure the directory of sockets, which a reboot may have taken."""
        for _ in range(5):
            if self.run.parent == SHORT_RUN_DIRS:
                make_directory(SHORT_RUN_DIRS)
            with suppress(FileNotFoundError):  # another server, the last one there, took the directory above away
                make_directory(self.run, mode=0o700, owner=self.uid)
                return

    def remove(self) -> None:
        """Remove all files of a server without processes. May run twice."""
        remove_tree(self.run)
        if self.run.parent == SHORT_RUN_DIRS:
            with suppress(OSError):
                SHORT_RUN_DIRS.rmdir()
        remove_tree(self.path)

    def status(self, settled_s: int) -> tuple[ServerStatus, str | None]:
        """Return the status, and when it is ERROR the reason. An agent counts as up again once it lived `settled_s` seconds."""
        if self.stop_marker.exists() or not self.supervisor.alive():
            return ServerStatus.SHUTDOWN, None
        failure = self.supervisor.failure()
        if failure is None or failure.times < REPEATED_FAILURES or self.supervisor.agent_age_s() >= settled_s:
            return ServerStatus.ACTIVE, None
        return ServerStatus.ERROR, self._fault(failure)

    def _fault(self, failure: Failure) -> str:
        text = read_untrusted(self.log / LOG_NAME, tail=4096)
        for path in sorted(self.config_files.glob("*")):
            for secret in _SECRET.findall(path.read_text(errors="replace")):
                text = text.replace(secret, "***")
        text = re.sub(r"://[^@\s/]*@", "://***@", text)
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("trove-supervisor:")]
        words = " / ".join(lines[-3:])[-600:] or "it wrote nothing to its log"
        return f"The guest agent ended {failure.times} times in a row, last with exit code {failure.code}: {words}"

    def _host_conf(self, placement: Placement) -> bytes:
        values = {
            "address": placement.address,
            "data_dir": placement.data_dir,
            "run_dir": self.run,
            "config_dir": self.config,
            "log_dir": self.log,
            "await_data_dir": "true",
            "sandbox": placement.sandbox,
            "hide": ",".join(str(path) for path in placement.hide),
        }
        if placement.template_dir is not None:
            values["template_dir"] = placement.template_dir
        if placement.root_dir is not None:
            values["root_dir"] = placement.root_dir
        if placement.namespaces:
            values["namespaces"] = ",".join(placement.namespaces)
        if placement.volume_gib is not None:
            values["volume_bytes"] = placement.volume_gib * GIB
        parser = ConfigParser(interpolation=None)
        parser["host"] = {name: str(value) for name, value in values.items()}
        text = StringIO()
        parser.write(text)
        return text.getvalue().encode()


def run_directory(home: Path) -> Path:
    """Return where the sockets of a server go: below `home`, or where that is too long, a short path made from it."""
    inside = home / "run"
    if len(os.fsencode(inside)) <= MAX_RUN_DIR:
        return inside
    short = hashlib.sha256(os.fsencode(home)).hexdigest()[:20]
    if os.geteuid() == 0:
        return SHORT_RUN_DIRS / short
    own = Path(f"/run/user/{os.geteuid()}")
    return (own if own.is_dir() else Path("/tmp")) / f"trove-{short}"  # noqa: S108  made by us alone, or refused
