"""Manifests: what is written is read again, and nothing else is."""

import json

import pytest

from trove.core.errors import InvalidInput
from trove.core.manifests import Manifest, Parent, Segment, manifest_name, segment_name

MANIFEST = Manifest(
    backup_id="b",
    project_id="p",
    instance_id="i",
    manager="mariadb",
    datastore="mariadb",
    datastore_version="10.11",
    encoding="mbstream+zstd",
    data_bytes=10,
    stored_bytes=5,
    segments=(Segment(name=segment_name("b", 0), size=5, digest="d"),),
    parent=Parent(container="c", name=manifest_name("a"), digest="e"),
    positions={"lsn": 7},
)


def test_a_manifest_comes_back() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert MANIFEST.to_bytes() == MANIFEST.to_bytes()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b'{"format": 2}', MANIFEST.to_bytes()[:-20]])
def test_what_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        Manifest.from_bytes(content)


def test_missing_and_strange_keys_are_refused() -> None:
    whole = json.loads(MANIFEST.to_bytes())
    for changed in ({**whole, "more": 1}, {**whole, "segments": [{}]}, {**whole, "parent": {"x": 1}}):
        with pytest.raises(InvalidInput):
            Manifest.from_bytes(json.dumps(changed).encode())
