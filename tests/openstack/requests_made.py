"""What the service asks of the cloud, counted from what keystoneauth writes into the logs of its processes."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LOG_LEVELS = "keystoneauth.session=DEBUG,amqp=WARN,sqlalchemy=WARN,taskflow=WARN,urllib3.connectionpool=WARN"
"""What `default_log_levels` must be for it."""
SERVICES = ("compute", "block_storage", "network", "image")
_REQUEST = re.compile(rb"REQ: curl .*?-X (?P<method>[A-Z]+) \"?(?P<url>http\S+?)\"? ")
_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@dataclass(kw_only=True)
class Asked:
    """Requests by service, method and kind of thing, as in `network POST /v2.0/ports`."""

    kinds: Counter[str] = field(default_factory=Counter)

    def of(self, service: str) -> int:
        """Return how many requests a service got."""
        return sum(count for kind, count in self.kinds.items() if kind.startswith(f"{service} "))

    def changes(self) -> dict[str, int]:
        """Return those that change something."""
        return {kind: count for kind, count in sorted(self.kinds.items()) if " GET " not in kind}


@contextmanager
def asked(folder: Path, places: Mapping[str, str]) -> Iterator[Asked]:
    """Count what is written in the logs of `folder` while the block lasts. `places` are the services' URLs."""
    before = {log: log.stat().st_size for log in folder.glob("*.log")}
    found = Asked()
    try:
        yield found
    finally:
        for log in folder.glob("*.log"):
            with log.open("rb") as file:
                file.seek(before.get(log, 0))
                for line in file:
                    if match := _REQUEST.search(line):
                        _count(found, match["method"].decode(), match["url"].decode(), places)


def _count(found: Asked, method: str, url: str, places: Mapping[str, str]) -> None:
    for service, place in places.items():
        if url.startswith(place):
            path = _ID.sub("…", url.removeprefix(place).partition("?")[0])
            found.kinds[f"{service} {method} {path}"] += 1
