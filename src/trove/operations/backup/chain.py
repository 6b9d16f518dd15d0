"""What a backup builds on: the manifests from the full backup to the wanted one, each checked against what names it."""

from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from trove.core.backups import Backup, BackupType
from trove.core.errors import Conflict, InvalidInput, NotFound
from trove.core.manifests import MAX_BYTES, Manifest, backup_of, manifest_name, prefix_of
from trove.objectstore.contract import ObjectInfo, ObjectStore

LONGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One manifest of a chain. `digest` is the hexadecimal SHA-256 of its object."""

    container: str
    name: str
    digest: str
    manifest: Manifest

    @property
    def prefix(self) -> str:
        """Return what the names of its objects begin with."""
        return prefix_of(self.manifest.backup_id)

    @property
    def names(self) -> list[str]:
        """Return the names of its objects."""
        return [self.name, *(segment.name for segment in self.manifest.segments)]


def chain_of(objects: ObjectStore, backup: Backup) -> tuple[Link, ...]:
    """Return the chain of a whole backup, the full one first.

    Raises `NotFound` when a manifest is missing, `Conflict` when one is not what it was, `Unavailable`.
    """
    place = place_of(backup)
    if place is None or backup.checksum is None:
        raise NotFound(f"Backup {backup.id} has no objects.")
    wanted: tuple[str, str, str] | None = (*place, backup.checksum)
    links: list[Link] = []
    while wanted is not None:
        container, name, digest = wanted
        link = read_link(objects, container, name, digest=digest)
        links.append(link)
        parent = link.manifest.parent
        wanted = None if parent is None else (parent.container, parent.name, parent.digest)
        if len(links) > LONGEST:
            raise Conflict(f"Backup {backup.id} builds on more than {LONGEST} others.")
    return tuple(reversed(links))


def store_of(objects: ObjectStore, backup: Backup) -> ObjectStore:
    """Return the store that a backup is in: that of its project, or the one in the region that it was taken in from."""
    own = objects.of(backup.project_id)
    if backup.type is not BackupType.IMPORTED or backup.location is None:
        return own
    # One that is nowhere was taken in when the store was reached by another name.
    return own.holding(backup.location) or own


def place_of(backup: Backup) -> tuple[str, str] | None:
    """Return container and name of a backup's manifest; None when it has none."""
    if backup.container is None:
        return None
    if backup.type is not BackupType.IMPORTED:
        return backup.container, manifest_name(backup.id)
    # Where it was taken in from, by whatever name the store was reached then.
    *_, folder, last = unquote(urlsplit(backup.location or "/").path).split("/")
    return backup.container, manifest_name(last) if backup_of(prefix_of(last)) else f"{folder}/{last}"


def read_link(objects: ObjectStore, container: str, name: str, *, digest: str | None = None) -> Link:
    """Read a manifest.

    Raises `NotFound`, `Unavailable`; `Conflict` when its digest is not `digest`; `InvalidInput` for what is no manifest.
    """
    content = bytearray()
    for chunk in objects.get(container, name):
        content += chunk
        if len(content) > MAX_BYTES:
            raise InvalidInput("The backup's manifest is too large to be one.")
    found = sha256(content).hexdigest()
    if digest not in {None, found}:
        raise Conflict(f"The backup's manifest {name} is not the one that was written: its checksum differs.")
    manifest = Manifest.from_bytes(bytes(content))
    if name != manifest_name(manifest.backup_id):
        raise InvalidInput("The backup's manifest is not where it says that it is.")
    return Link(container=container, name=name, digest=found, manifest=manifest)


def check_segments(objects: ObjectStore, link: Link) -> tuple[ObjectInfo, ...]:
    """Return what the store knows of the segments of a manifest; their bytes are not read.

    Raises `NotFound`, or `Conflict`, unless all are there in their sizes.
    """
    held = {info.name: info for info in objects.list(link.container, prefix=link.prefix)}
    for segment in link.manifest.segments:
        if segment.name.startswith(link.prefix) and segment.name not in held:
            # Lists may be late.
            held[segment.name] = _info(objects, link.container, segment.name)
    for segment in link.manifest.segments:
        if not segment.name.startswith(link.prefix):
            raise Conflict("The backup's manifest names objects that are not its own.")
        if held[segment.name].size != segment.size:
            raise Conflict(f"Object {segment.name} of the backup has {held[segment.name].size} bytes, not {segment.size}.")
    return tuple(held[segment.name] for segment in link.manifest.segments)


def _info(objects: ObjectStore, container: str, name: str) -> ObjectInfo:
    try:
        return objects.info(container, name)
    except NotFound:
        raise NotFound(f"Object {name} of the backup is missing in the object store.") from None
