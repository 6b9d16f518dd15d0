"""What a guest does with the tickets of a backup and of a restore, without any database: its data are some bytes."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from trove.core.manifests import Encryption, Manifest, Parent, Segment, manifest_name, segment_name
from trove.core.tickets import Ticket
from trove.objectstore.memory import MemoryObjectStore

DATA = b"all that the tenant ever wrote"


def store_backup(objects: MemoryObjectStore, instance_id: str, args: Mapping[str, Any], data: bytes = DATA) -> dict[str, Any]:
    """Do the job `backup` and return its result."""
    ticket, backup_id, parent = Ticket.from_json(args["ticket"]), args["backup_id"], args["parent"]
    pieces = [data[: len(data) // 2], data[len(data) // 2 :]]
    segments = []
    for number, piece in enumerate(pieces):
        name = segment_name(backup_id, number)
        objects.put_by(ticket.url_of(name), piece)
        segments.append(Segment(name=name, size=len(piece), digest=sha256(piece).hexdigest()))
    content = Manifest(
        backup_id=backup_id,
        project_id=args["project_id"],
        instance_id=instance_id,
        manager=args["manager"],
        datastore=args["datastore"],
        datastore_version=args["datastore_version"],
        encoding="plain",
        data_bytes=len(data),
        stored_bytes=len(data),
        segments=tuple(segments),
        parent=None if parent is None else Parent(**{key: parent[key] for key in ("container", "name", "digest")}),
        encryption=None
        if args.get("encryption") is None
        else Encryption(**{key: args["encryption"][key] for key in ("cipher", "key_id", "wrapped_key")}),
        positions={"lsn": 1 + int(parent["positions"]["lsn"]) if parent else 1},
    ).to_bytes()
    objects.put_by(ticket.url_of(manifest_name(backup_id)), content)
    return {"data_bytes": len(data), "stored_bytes": len(data), "checksum": sha256(content).hexdigest()}


def read_restore(objects: MemoryObjectStore, restore: Mapping[str, Any]) -> list[bytes]:
    """Do what the job `prepare` does with the backup it is given: return the data of each link, every digest checked."""
    found = []
    for link in restore["chain"]:
        ticket = Ticket.from_json(link["ticket"])
        content = objects.get_by(ticket.url_of(link["manifest"]))
        assert sha256(content).hexdigest() == link["digest"]
        pieces = [(each, objects.get_by(ticket.url_of(each.name))) for each in Manifest.from_bytes(content).segments]
        assert all(sha256(piece).hexdigest() == segment.digest for segment, piece in pieces)
        found.append(b"".join(piece for _, piece in pieces))
    return found
