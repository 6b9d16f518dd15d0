"""What the agent must remember about its instance across its own restarts."""

import json
import threading
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from trove.datastores.contract import Host


class Prepared(StrEnum):
    """How far the instance came."""

    NO = "no"
    YES = "yes"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`wanted`: the server should run. `restarts`: how often the agent brought it back after it went down by itself."""

    prepared: Prepared = Prepared.NO
    wanted: bool = False
    restarts: int = 0


class Ledger:
    """The facts, on disk before anybody acts on them. Thread-safe."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._path: Path = host.private_dir / "facts.json"
        self._lock = threading.Lock()
        self._facts = self._load()

    @property
    def facts(self) -> Facts:
        """Return the facts as they are now."""
        return self._facts

    def update(self, **changes: Any) -> Facts:
        """Store changed facts; writes only what differs."""
        with self._lock:
            changed = replace(self._facts, **changes)
            if changed != self._facts:
                self._host.write_file(self._path, json.dumps(asdict(changed)).encode())
                self._facts = changed
            return changed

    def _load(self) -> Facts:
        content = self._host.read_file(self._path)
        if not content:
            return Facts()
        stored = json.loads(content)
        return Facts(prepared=Prepared(stored["prepared"]), wanted=bool(stored["wanted"]), restarts=int(stored["restarts"]))
