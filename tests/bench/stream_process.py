"""An agent that streams much through a backup and back, and tells how much memory that took. Started by the bench."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trove.bus.rpc
import trove.bus.streams
import trove.cmd.guestagent  # noqa: F401  what an agent has loaded
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent import agent, backups, manager  # noqa: F401
from trove.guestagent.engine import Engine
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind

CHUNK = 64 * 1024


@dataclass
class _Dump:
    chunks: Iterator[bytes]

    def positions(self) -> dict[str, Any]:
        return {}


class _Driver:
    encoding = "plain"

    def __init__(self, size: int) -> None:
        self.size = size

    @contextmanager
    def dump(self, *, since: object) -> Iterator[_Dump]:
        yield _Dump(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        # Half of it does not compress.
        block = os.urandom(CHUNK // 2) + bytes(CHUNK // 2)
        for number in range(self.size // CHUNK):
            yield number.to_bytes(8, "big") + os.urandom(CHUNK // 2) + block[CHUNK // 2 + 8 :]

    def restore(self, streams: Any, *, progress: object) -> None:
        for stream in streams:
            with closing(stream()) as chunks:
                for _ in chunks:
                    pass


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    given = json.load(sys.stdin)
    places = {name: Path(given["folder"]) / name for name in ("data_dir", "run_dir", "config_dir", "log_dir")}
    host = SandboxedHost(HostSettings(instance_id="b", address="127.0.0.1", sandbox=SandboxKind.PROCESS, **places))
    engine = Engine(spec=SPEC, driver=_Driver(given["size"]), host=host)  # type: ignore[arg-type]
    seen: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            seen.append(resident_kib())

    before = resident_kib()
    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    if given["verb"] == "backup":
        result: Any = backups.back_up(engine, given["args"], lambda _step, _percent: None)
    else:
        result = backups.restore(engine, given["args"], lambda _step, _percent: None)
    seconds = time.monotonic() - began
    ended.set()
    watcher.join()
    half = len(seen) // 2
    told = {"before": before, "peak": max(seen), "first_half": max(seen[:half]), "second_half": max(seen[half:])}
    json.dump({**told, "seconds": seconds, "result": result}, sys.stdout)


if __name__ == "__main__":
    main()
