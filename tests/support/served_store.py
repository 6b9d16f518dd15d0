"""A file store behind its real endpoint, and the jobs and tickets that guests are given for backups in it."""

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.editions import Edition
from tests.support.servers import Server

from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.manifests import Manifest, manifest_name
from trove.core.tickets import Verb
from trove.objectstore.contract import ObjectInfo
from trove.objectstore.endpoint import Endpoint
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

CONTAINER = "database_backups"
SEGMENT = 64 * 1024


class HeldStore(FileObjectStore):
    """A file store whose n-th put waits until it is let go."""

    hold_at = 0
    puts = 0

    def __init__(self, root: Path, signer: Signer) -> None:
        super().__init__(root, signer)
        self.held, self.free = threading.Event(), threading.Event()

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        self.puts += 1
        if self.puts == self.hold_at:
            self.held.set()
            assert self.free.wait(60)
        return super().put(container, name, chunks, metadata=metadata)


class Store:
    """A file store behind its real endpoint."""

    def __init__(self, store: HeldStore) -> None:
        self.objects = store

    def hold_at(self, put: int) -> None:
        self.objects.hold_at = put

    def is_held(self) -> bool:
        return self.objects.held.is_set()

    def let_go(self) -> None:
        self.objects.free.set()

    def holds(self, name: str) -> bool:
        return name in {info.name for info in self.objects.list(CONTAINER)}

    def back_up(self, server: Server, *, since: str | None = None) -> str:
        """Make a backup of a server, of everything or of what changed since another one; return its id."""
        job = self.job(server.edition, None if since is None else self.as_parent(since))
        server.worker.call("back_up", job)
        return str(job["backup_id"])

    def restore(self, server: Server, *backup_ids: str) -> None:
        """Make the data directory of a machine from a chain, the full backup first."""
        server.worker.call("restore", self.chain(*backup_ids))

    def names_of(self, backup_id: str) -> list[str]:
        """Return the names of the segments of a backup, in order."""
        content = b"".join(self.objects.get(CONTAINER, manifest_name(backup_id)))
        return [segment.name for segment in Manifest.from_bytes(content).segments]

    def ticket(self, backup_id: str, verb: Verb) -> dict[str, Any]:
        expires = utcnow() + timedelta(minutes=10)
        return dict(self.objects.ticket(CONTAINER, f"{backup_id}/", verb, expires=expires).to_json())

    def job(self, edition: Edition, parent: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments of a job `backup`."""
        backup_id = new_id()
        return {
            "backup_id": backup_id,
            "project_id": "p",
            "manager": edition.manager,
            "datastore": edition.manager,
            "datastore_version": edition.version,
            "segment_bytes": SEGMENT,
            "parent": parent,
            "ticket": self.ticket(backup_id, Verb.PUT),
        }

    def as_parent(self, backup_id: str) -> dict[str, Any]:
        content = b"".join(self.objects.get(CONTAINER, manifest_name(backup_id)))
        info = self.objects.info(CONTAINER, manifest_name(backup_id))
        positions = dict(Manifest.from_bytes(content).positions)
        return {"container": CONTAINER, "name": info.name, "digest": info.digest, "positions": positions}

    def chain(self, *backup_ids: str) -> dict[str, Any]:
        """Return what a job `prepare` is told to restore."""
        return {
            "chain": [
                {
                    "manifest": manifest_name(each),
                    "digest": self.objects.info(CONTAINER, manifest_name(each)).digest,
                    "ticket": self.ticket(each, Verb.GET),
                }
                for each in backup_ids
            ]
        }


@contextmanager
def serving(root: Path) -> Iterator[Store]:
    signer = Signer(secrets.token_bytes(32), "http://placeholder")
    store = HeldStore(root, signer)
    with Endpoint(("127.0.0.1", 0), store, signer) as endpoint:
        signer._endpoint = f"http://127.0.0.1:{endpoint.server_address[1]}"
        thread = threading.Thread(target=endpoint.serve_forever, daemon=True)
        thread.start()
        try:
            yield Store(store)
        finally:
            endpoint.shutdown()
            thread.join()
