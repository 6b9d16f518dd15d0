"""Swift as an object store: each project's objects in its own account, guests with temporary URLs.

The objects of a backup are in a container of their own beside the one that was asked for, with a key of its own: taking that
key away (`seal`) ends every temporary URL for putting, and disturbs no other backup. The container that was asked for shows the
backup as one object, a static large object of its segments.

Source: "Temporary URL middleware", "Static Large Objects" and "Bulk delete" in Swift's API reference and administrator's guide.
"""

import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urlencode, urlsplit

from trove.core.clock import utcnow
from trove.core.errors import CloudError, InvalidInput, NotFound, Refused, Unavailable
from trove.core.manifests import backup_of, manifest_name, prefix_of
from trove.core.tickets import Ticket, Verb
from trove.objectstore.contract import LONGEST_TICKET, ObjectInfo
from trove.objectstore.names import MAX_CONTAINER_BYTES, check_container, check_name
from trove.objectstore.signing import SEALED
from trove.objectstore.spooling import IN_MEMORY, PLAIN, spool
from trove.objectstore.swift_link import SwiftLink

META = "x-object-meta-"
DIGEST = "sha256"
PUT_KEY, GET_KEY = "X-Container-Meta-Temp-URL-Key", "X-Container-Meta-Temp-URL-Key-2"
"""Temporary URLs for putting are signed with the first, those for getting with the second: one is taken away, one stays."""
SEAL = "X-Container-Meta-Trove-Sealed"
PAGE = 10_000
BULK = 1000
MOST_PARTS = 1000
"""Segments of one static large object; more of them are gathered in several first."""
EMPTYINGS = 5


class SwiftObjectStore:
    """Swift, through the account of one project, or, without `project_id`, of the service. Safe for threads.

    `key` makes the keys of temporary URLs. With `shared`, all projects are in the service's own account, each with containers
    whose names begin with its id: for operators who give the service no rights on the accounts of others. One that is
    `elsewhere` is in another region, where another service gives tickets, too.
    """

    needs_names = False

    def __init__(
        self, link: SwiftLink, *, key: bytes, project_id: str | None = None, shared: bool = False, elsewhere: bool = False
    ) -> None:
        self._link = link
        self._key = key
        self._project_id = project_id
        self._shared = shared
        self._elsewhere = elsewhere

    def __repr__(self) -> str:
        return f"<SwiftObjectStore {self._project_id or ''}>"

    def of(self, project_id: str) -> "SwiftObjectStore":
        """Return the store with the objects of a project."""
        return SwiftObjectStore(self._link, key=self._key, project_id=project_id, shared=self._shared)

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all. An error of `chunks` itself passes through and leaves the old object."""
        check_container(container)
        check_name(name)
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            digest, size = spool(file, chunks)
            headers = {f"{META}{key}": quote(text, safe=PLAIN) for key, text in (metadata or {}).items()}
            headers |= {f"{META}{DIGEST}": digest, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
            place = self._place(container, name)
            try:
                self._put(place, name, file if size else b"", headers)
            except NotFound:
                self._link.ask("PUT", self._container_url(place))
                self._put(place, name, file if size else b"", headers)
        return ObjectInfo(name=name, size=size, digest=digest, metadata=dict(metadata or {}))

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk."""
        check_container(container)
        check_name(name)
        with _named(container, name):
            return self._link.stream(self._object_url(self._place(container, name), name))

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object; raises `NotFound`."""
        check_container(container)
        check_name(name)
        with _named(container, name):
            headers = self._link.ask("HEAD", self._object_url(self._place(container, name), name))
        told = {key.removeprefix(META): unquote(text) for key, text in headers.items() if key.startswith(META)}
        digest = told.pop(DIGEST, None)
        return ObjectInfo(name=name, size=int(headers["content-length"]), digest=digest, metadata=told)

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name, without digests. A missing container is empty."""
        check_container(container)
        place = self._swift_name(container)
        places = [place, *self._places_of_backups(container, prefix)]
        found = [info for each in places for info in self._listed(each, prefix) if each != place or not _is_shown_backup(info)]
        return sorted(found, key=lambda info: info.name)

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""
        check_container(container)
        check_name(name)
        with suppress(NotFound):
            self._link.ask("DELETE", self._object_url(self._place(container, name), name))

    def clear(self, container: str, prefix: str) -> None:
        """Delete all objects below `prefix`; for a backup also its container, and what shows it as one. May run twice."""
        check_container(container)
        check_name(prefix)
        owner = backup_of(prefix)
        if owner is not None:
            with suppress(NotFound):
                self._link.ask("DELETE", self._object_url(self._swift_name(container), owner))
            self._remove_container(self._own_name(container, owner))
        place = self._swift_name(container)
        self._delete_all(place, [info.name for info in self._listed(place, prefix)])

    def ticket(
        self,
        container: str,
        prefix: str,
        verb: Verb,
        *,
        expires: datetime,
        names: Sequence[str] | None = None,
        keep_s: int | None = None,
    ) -> Ticket:
        """Return a temporary URL with a prefix; the container of a backup that is new is made."""
        check_container(container)
        check_name(prefix)
        place = self._place(container, prefix)
        url, key = self._container_url(place), self._key_of(place, verb)
        if verb is Verb.PUT:
            self._link.ask("PUT", url)
            if SEAL.lower() in self._link.ask("HEAD", url):
                raise Refused(SEALED)
        with _named(container, prefix):
            # A key of the other service's is used, not replaced: its own tickets are signed with it.
            theirs = self._link.ask("HEAD", url).get(GET_KEY.lower()) if self._elsewhere else None
            if theirs:
                key = theirs
            else:
                self._link.ask("POST", url, headers={PUT_KEY if verb is Verb.PUT else GET_KEY: key})
        until = int(min(expires, utcnow() + LONGEST_TICKET).timestamp())
        base = f"{self._link.guests_account_url(self._account)}/{quote(place, safe='')}"
        # Signed is the path as the server sees it, with nothing quoted.
        path = f"{unquote(urlsplit(base).path)}/{prefix}"
        signature = hmac.new(key.encode(), f"{verb.value}\n{until}\nprefix:{path}".encode(), sha256).hexdigest()
        headers = {"X-Delete-After": str(keep_s)} if keep_s and verb is Verb.PUT else {}
        query = {"temp_url_sig": signature, "temp_url_expires": str(until), "temp_url_prefix": prefix}
        return Ticket(
            verb=verb,
            base=base,
            prefix=prefix,
            expires=datetime.fromtimestamp(until, UTC),
            query=urlencode(query),
            meta=META,
            headers=headers,
        )

    def seal(self, container: str, prefix: str) -> None:
        """Take the key away with which temporary URLs for putting are signed. May run twice."""
        check_container(container)
        owner = backup_of(prefix)
        if owner is None:
            raise InvalidInput("Only what belongs to a backup can be sealed.")
        url = self._container_url(self._own_name(container, owner))
        self._link.ask("PUT", url, headers={SEAL: "yes", PUT_KEY.replace("X-", "X-Remove-", 1): "x"})

    def publish(self, container: str, backup_id: str, parts: Sequence[ObjectInfo]) -> None:
        """Make a static large object of the segments, named after the backup. May run twice."""
        own, place = self._own_name(container, backup_id), self._swift_name(container)
        rows = [{"path": f"/{own}/{part.name}", "size_bytes": part.size} for part in parts if part.size]
        gathered = 0
        while len(rows) > MOST_PARTS:
            fewer = []
            for begin in range(0, len(rows), MOST_PARTS):
                name = f"{prefix_of(backup_id)}gathered/{gathered:06d}"
                gathered += 1
                group = rows[begin : begin + MOST_PARTS]
                self._put_large(own, name, group)
                fewer.append({"path": f"/{own}/{name}", "size_bytes": sum(cast("int", row["size_bytes"]) for row in group)})
            rows = fewer
        self._link.ask("PUT", self._container_url(place))
        self._put_large(place, backup_id, rows)

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object; that of a backup's manifest is the one of the whole backup."""
        owner = backup_of(name)
        shown = owner if owner is not None and name == manifest_name(owner) else name
        return self._object_url(self._swift_name(container), shown)

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when that is not in the account of this project."""
        account = f"{self._account_url()}/"
        if not url.startswith(account):
            return None
        container, _, name = (unquote(part) for part in urlsplit("/" + url.removeprefix(account)).path[1:].partition("/"))
        before = self._before()
        if not name or not container.startswith(before) or container == before:
            return None
        whole = backup_of(prefix_of(name))
        return container.removeprefix(before), manifest_name(name) if whole == name else name

    def holding(self, url: str) -> "SwiftObjectStore | None":
        """Return this store, or that of the same project in another region of the catalogue. Nothing else is ever asked."""
        if self.locate(url):
            return self
        others = (
            SwiftObjectStore(link, key=self._key, project_id=self._project_id, shared=self._shared, elsewhere=True)
            for link in self._link.in_other_regions()
        )
        return next((each for each in others if each.locate(url)), None)

    def _put(self, place: str, name: str, file: IO[bytes] | bytes, headers: Mapping[str, str]) -> None:
        if not isinstance(file, bytes):
            file.seek(0)
        self._link.ask("PUT", self._object_url(place, name), headers=headers, body=file)

    def _put_large(self, place: str, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        body = json.dumps(rows).encode()
        url = f"{self._object_url(place, name)}?multipart-manifest=put"
        self._link.ask("PUT", url, body=body, headers={"Content-Type": "application/octet-stream"})

    def _listed(self, place: str, prefix: str) -> Iterator[ObjectInfo]:
        marker = ""
        while True:
            query = urlencode({"format": "json", "limit": PAGE, "prefix": prefix, "marker": marker})
            try:
                rows = json.loads(self._link.read(f"{self._container_url(place)}?{query}"))
            except NotFound:
                return
            for row in rows:
                yield ObjectInfo(name=row["name"], size=int(row["bytes"]), digest=None)
            if len(rows) < PAGE:
                return
            marker = rows[-1]["name"]

    def _places_of_backups(self, container: str, prefix: str) -> Sequence[str]:
        """Return the containers that may hold objects of backups whose names begin with `prefix`."""
        owner = backup_of(prefix)
        if owner is not None:
            return [self._own_name(container, owner)]
        if "/" in prefix:
            return []
        begin = f"{self._own_name(container, '')}{prefix}"
        query = urlencode({"format": "json", "limit": PAGE, "prefix": begin})
        try:
            rows = json.loads(self._link.read(f"{self._account_url()}?{query}"))
        except NotFound:
            return []
        return [row["name"] for row in rows if backup_of(prefix_of(row["name"][-36:]))]

    def _remove_container(self, place: str) -> None:
        """Empty a container and remove it; what its listing does not show yet is found the next time round."""
        for attempt in range(EMPTYINGS):
            self._delete_all(place, [info.name for info in self._listed(place, "")])
            try:
                self._link.ask("DELETE", self._container_url(place))
            except NotFound:
                return
            except Unavailable:
                if attempt == EMPTYINGS - 1:
                    raise
            else:
                return

    def _delete_all(self, place: str, names: Sequence[str]) -> None:
        for begin in range(0, len(names), BULK):
            some = names[begin : begin + BULK]
            body = "\n".join(quote(f"{place}/{name}") for name in some).encode()
            headers = {"Content-Type": "text/plain", "Accept": "application/json"}
            try:
                told = json.loads(
                    self._link.read(f"{self._account_url()}?bulk-delete", verb="POST", body=body, headers=headers)
                )
                done = told["Response Status"].startswith("200") and not told["Errors"]
            except (CloudError, ValueError, KeyError, TypeError):
                done = False  # The operator has left the middleware out.
            if not done:
                for name in some:
                    with suppress(NotFound):
                        self._link.ask("DELETE", self._object_url(place, name))

    def _place(self, container: str, name: str) -> str:
        """Return the name of the container in Swift that holds an object."""
        owner = backup_of(name)
        return self._swift_name(container) if owner is None else self._own_name(container, owner)

    def _own_name(self, container: str, backup_id: str) -> str:
        room = MAX_CONTAINER_BYTES - 37
        return self._swift_name(container).encode()[:room].decode(errors="ignore") + f"_{backup_id}"

    def _swift_name(self, container: str) -> str:
        name = self._before() + container
        if len(name.encode()) > MAX_CONTAINER_BYTES:
            raise InvalidInput(f"container: must be at most {MAX_CONTAINER_BYTES - len(self._before())} bytes of UTF-8")
        return name

    def _before(self) -> str:
        return f"{self._project_id}_" if self._shared and self._project_id is not None else ""

    @property
    def _account(self) -> str | None:
        return None if self._shared else self._project_id

    def _account_url(self) -> str:
        return self._link.account_url(self._account)

    def _container_url(self, place: str) -> str:
        return f"{self._account_url()}/{quote(place, safe='')}"

    def _object_url(self, place: str, name: str) -> str:
        return f"{self._container_url(place)}/{quote(name)}"

    def _key_of(self, place: str, verb: Verb) -> str:
        about = f"{verb.value}\n{urlsplit(self._account_url()).path}\n{place}"
        return hmac.new(self._key, about.encode(), sha256).hexdigest()


def _is_shown_backup(info: ObjectInfo) -> bool:
    return backup_of(prefix_of(info.name)) == info.name


@contextmanager
def _named(container: str, name: str) -> Iterator[None]:
    """Say which object cannot be found."""
    try:
        yield
    except NotFound:
        raise NotFound(f"Object {container}/{name} cannot be found.") from None
