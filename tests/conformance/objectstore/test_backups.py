"""Backups between a guest and every store that it reaches: what was backed up comes back, and nothing else does."""

import secrets
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.plain_engine import CONTAINER, SEGMENT, PlainGuest

from trove.core.errors import Cancelled, GuestError, TroveError
from trove.core.manifests import manifest_name, prefix_of
from trove.guestagent import backups
from trove.objectstore.contract import ObjectStore

CONTENT = secrets.token_bytes(5 * SEGMENT + 1234)


@pytest.fixture
def guest(reachable: ObjectStore, tmp_path: Path) -> PlainGuest:
    return PlainGuest(tmp_path / "guest", reachable)


@pytest.fixture
def another(reachable: ObjectStore, tmp_path: Path) -> PlainGuest:
    return PlainGuest(tmp_path / "another", reachable)


def key() -> dict[str, str]:
    data_key = b64encode(secrets.token_bytes(32)).decode()
    return {"cipher": "AES-256-GCM", "key_id": "k", "wrapped_key": "w", "data_key": data_key}


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_a_chain_comes_back(guest: PlainGuest, another: PlainGuest, encrypted: bool) -> None:
    keys = [key() if encrypted else None for _ in range(3)]
    parts, made = [CONTENT, b"", b"x" * 3_000_000], []
    for part, each in zip(parts, keys, strict=True):
        made.append(guest.back_up(part, key=each, parent=made[-1] if made else None))
    assert len(guest.manifest(made[0]).segments) > 5
    assert guest.manifest(made[2]).stored_bytes < 100_000
    told = {name: each["data_key"] for name, each in zip(made, keys, strict=True) if each}
    assert another.restored(another.chain(*made, keys=told)) == b"".join(parts)
    for name in made:
        content = b"".join(guest.store.get(CONTAINER, manifest_name(name)))
        assert all(each["data_key"].encode() not in content for each in keys if each)


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
@pytest.mark.parametrize("damage", ["altered", "cut short", "missing", "swapped", "of another", "manifest"])
def test_nothing_damaged_becomes_data(guest: PlainGuest, another: PlainGuest, damage: str, encrypted: bool) -> None:
    first, second = (key() if encrypted else None for _ in range(2))
    mine, other = guest.back_up(CONTENT, key=first), guest.back_up(CONTENT[::-1], key=second)
    store, names = guest.store, [segment.name for segment in guest.manifest(mine).segments]
    chain = another.chain(mine, keys={mine: first["data_key"]} if first else None)
    victim = manifest_name(mine) if damage == "manifest" else names[3]
    good = b"".join(store.get(CONTAINER, victim))
    bad = {
        "cut short": good[:-1],
        "swapped": b"".join(store.get(CONTAINER, names[2])),
        "of another": b"".join(store.get(CONTAINER, guest.manifest(other).segments[3].name)),
    }.get(damage, bytes([good[0] ^ 1]) + good[1:])
    store.delete(CONTAINER, victim)
    if damage != "missing":
        store.put(CONTAINER, victim, [bad])
    with pytest.raises(GuestError, match="backup"):
        another.restored(chain)
    assert list(another.host.data_dir.iterdir()) == []
    store.put(CONTAINER, victim, [good])
    assert another.restored(chain) == CONTENT


def test_another_key_or_none_does_not_open_a_backup(guest: PlainGuest, another: PlainGuest) -> None:
    mine, plain = guest.back_up(CONTENT, key=key()), guest.back_up(CONTENT)
    wrong = str(key()["data_key"])
    for name, given in ((mine, wrong), (mine, None), (plain, wrong)):
        with pytest.raises(GuestError, match=r"backup"):
            another.restored(another.chain(name, keys={name: given} if given else None))
    assert list(another.host.data_dir.iterdir()) == []


def test_a_backup_that_is_begun_again_is_of_the_last_run(guest: PlainGuest, another: PlainGuest) -> None:
    """As when the agent dies in the middle: the job runs again with the same arguments."""
    job = guest.job()
    guest.driver.source = lambda: _broken(CONTENT)
    with pytest.raises(Cancelled):
        backups.back_up(guest.engine, job, guest.progress)
    guest.run(job, CONTENT[::-1])
    mine = str(job["backup_id"])
    assert another.restored(another.chain(mine)) == CONTENT[::-1]
    guest.store.clear(CONTAINER, prefix_of(mine))
    assert guest.store.list(CONTAINER) == []


def test_progress_that_raises_ends_a_backup_without_a_manifest(guest: PlainGuest) -> None:
    def stop(step: str, percent: int) -> None:
        if len(guest.told) > 3:
            raise Cancelled("Cancelled.")
        guest.told.append((step, percent))

    guest.progress = stop  # type: ignore[method-assign]
    job = guest.job()
    with pytest.raises(Cancelled):
        guest.run(job, CONTENT)
    assert manifest_name(str(job["backup_id"])) not in {info.name for info in guest.store.list(CONTAINER)}
    assert guest.told[0] == ("reading the data", 1)
    assert guest.told[1][0].startswith("storing the backup")


def test_too_few_names_are_said_so(guest: PlainGuest) -> None:
    if not guest.store.needs_names:
        guest.back_up(CONTENT)
        return
    job = guest.job()
    kept = list(job["ticket"]["signatures"].items())[:3]
    job["ticket"]["signatures"] = dict(kept)
    with pytest.raises(TroveError, match="backup_segment_max_size"):
        guest.run(job, CONTENT)


def _broken(content: bytes) -> Iterator[bytes]:
    yield content
    raise Cancelled("The agent dies here.")
