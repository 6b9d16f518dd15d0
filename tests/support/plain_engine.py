"""An engine whose data are one file: what backups do between any engine and an object store, without a database server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.manifests import Manifest, manifest_name, prefix_of, segment_name
from trove.core.tickets import Ticket, Verb
from trove.datastores.mariadb.spec import SPEC as MARIADB
from trove.guestagent import backups
from trove.guestagent.engine import Engine
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind
from trove.objectstore.contract import ObjectStore

SPEC = replace(MARIADB, manager="plain", title="Plain")
CONTAINER = "database_backups"
SEGMENT = 64 * 1024
MOST_SEGMENTS = 200


@dataclass
class _Dump:
    chunks: Iterator[bytes]

    def positions(self) -> Mapping[str, Any]:
        return {"lsn": 1}


class PlainDriver:
    """A `Backups` whose stream is whatever `source` yields."""

    encoding = "plain"

    def __init__(self, host: SandboxedHost) -> None:
        self.host = host
        self.source: Callable[[], Iterator[bytes]] = lambda: iter(())

    @contextmanager
    def dump(self, *, since: Mapping[str, Any] | None) -> Iterator[_Dump]:
        yield _Dump(self.source())

    def restore(self, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]) -> None:
        target = self.host.data_dir / "data"
        draft = target.with_name("draft")
        draft.unlink(missing_ok=True)
        try:
            with draft.open("wb") as file:
                for stream in streams:
                    for chunk in stream():
                        file.write(chunk)
        except BaseException:
            draft.unlink()
            raise
        draft.rename(target)


class PlainGuest:
    """A guest with that engine, and the jobs that it is given for backups in `store`. `relay` changes where tickets lead."""

    def __init__(self, folder: Path, store: ObjectStore, *, relay: Callable[[str], str] = lambda base: base) -> None:
        places = {name: folder / name for name in ("data_dir", "run_dir", "config_dir", "log_dir")}
        settings = HostSettings(instance_id="plain", address="127.0.0.1", sandbox=SandboxKind.PROCESS, **places)
        self.host = SandboxedHost(settings)
        self.driver = PlainDriver(self.host)
        self.engine = Engine(spec=SPEC, driver=self.driver, host=self.host)  # type: ignore[arg-type]
        self.store = store
        self.relay = relay
        self.told: list[tuple[str, int]] = []

    def progress(self, step: str, percent: int) -> None:
        self.told.append((step, percent))

    def job(self, *, key: Mapping[str, Any] | None = None, parent: str | None = None, **more: Any) -> dict[str, Any]:
        """Return the arguments of a job `backup`."""
        backup_id = new_id()
        names = [manifest_name(backup_id), *(segment_name(backup_id, number) for number in range(MOST_SEGMENTS))]
        return {
            "backup_id": backup_id,
            "project_id": "p",
            "datastore": "plain",
            "datastore_version": "1.0",
            "segment_bytes": SEGMENT,
            "parent": None if parent is None else self._as_parent(parent),
            "encryption": key,
            "ticket": self.ticket(backup_id, Verb.PUT, names).to_json(),
            **more,
        }

    def back_up(self, content: bytes, **more: Any) -> str:
        """Store a backup of some bytes; return its id."""
        job = self.job(**more)
        self.run(job, content)
        return str(job["backup_id"])

    def run(self, job: Mapping[str, Any], content: bytes) -> Mapping[str, Any]:
        """Do a job `backup` of some bytes."""
        step = 50_000
        self.driver.source = lambda: (content[begin : begin + step] for begin in range(0, len(content), step))
        return backups.back_up(self.engine, job, self.progress)

    def manifest(self, backup_id: str) -> Manifest:
        return Manifest.from_bytes(b"".join(self.store.get(CONTAINER, manifest_name(backup_id))))

    def chain(self, *backup_ids: str, keys: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what a job `prepare` is told to restore."""
        links = []
        for each in backup_ids:
            names = [manifest_name(each), *(segment.name for segment in self.manifest(each).segments)]
            digest = self.store.info(CONTAINER, manifest_name(each)).digest
            links.append(
                {
                    "manifest": manifest_name(each),
                    "digest": digest or _digest(self.store, each),
                    "data_key": (keys or {}).get(each),
                    "ticket": self.ticket(each, Verb.GET, names).to_json(),
                }
            )
        return {"chain": links}

    def restored(self, chain: Mapping[str, Any]) -> bytes:
        """Do what `prepare` does with a chain; return the data."""
        backups.restore(self.engine, chain, self.progress)
        return (self.host.data_dir / "data").read_bytes()

    def ticket(self, backup_id: str, verb: Verb, names: Sequence[str]) -> Ticket:
        expires = utcnow() + timedelta(minutes=10)
        made = self.store.ticket(CONTAINER, prefix_of(backup_id), verb, expires=expires, names=names)
        return replace(made, base=self.relay(made.base))

    def _as_parent(self, backup_id: str) -> dict[str, Any]:
        return {
            "container": CONTAINER,
            "name": manifest_name(backup_id),
            "digest": _digest(self.store, backup_id),
            "positions": {},
        }


def _digest(store: ObjectStore, backup_id: str) -> str:
    from hashlib import sha256

    return sha256(b"".join(store.get(CONTAINER, manifest_name(backup_id)))).hexdigest()
