"""A store that is away, breaks off or answers nonsense while a guest backs up or restores: tried again, or said clearly."""

import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.object_stores import KINDS, file_store, s3_settings, swift_store
from tests.support.plain_engine import CONTAINER, SEGMENT, PlainGuest
from tests.support.relay import Relay, relay

from trove.core.errors import GuestError, Unavailable
from trove.core.manifests import manifest_name
from trove.guestagent import objects
from trove.objectstore.contract import ObjectInfo
from trove.objectstore.file import FileObjectStore

CONTENT = secrets.token_bytes(4 * SEGMENT + 99)


@pytest.fixture(params=KINDS)
def troubled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[PlainGuest, Relay]]:
    """A guest whose way to its store leads through a relay."""
    if request.param == "file":
        with file_store(tmp_path / "objects") as store, relay(store.url("c", "n")) as made:
            yield PlainGuest(tmp_path / "guest", store, relay=made.base), made
        return
    there = request.getfixturevalue("object_servers")
    with relay(there.swift.url) as made:
        if request.param == "swift":
            yield PlainGuest(tmp_path / "guest", swift_store(there), relay=made.base), made
        else:
            from trove.objectstore.s3 import S3ObjectStore

            # What is signed names the host.
            store = S3ObjectStore(replace(s3_settings(there), endpoint=made.url)).of(secrets.token_hex(16))
            yield PlainGuest(tmp_path / "guest", store), made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LONGEST_PAUSE_S", 0.3)


@pytest.mark.parametrize("trouble", ["refuse", "500", "cut", "lose answer"])
def test_a_backup_survives_trouble_that_passes(troubled: tuple[PlainGuest, Relay], trouble: str) -> None:
    guest, way = troubled
    job = guest.job()
    way.trouble.coming = [trouble, trouble, "", trouble]
    guest.run(job, CONTENT)
    assert way.trouble.coming == []
    assert guest.restored(guest.chain(str(job["backup_id"]))) == CONTENT


@pytest.mark.parametrize("trouble", ["refuse", "500", "cut answer", "lose answer"])
def test_a_restore_survives_trouble_that_passes(troubled: tuple[PlainGuest, Relay], trouble: str) -> None:
    guest, way = troubled
    chain = guest.chain(guest.back_up(CONTENT))
    way.trouble.coming = ["", trouble, trouble, "", trouble]
    assert guest.restored(chain) == CONTENT
    assert way.trouble.coming == []


@pytest.mark.parametrize("trouble", ["refuse", "500", "cut"])
def test_a_store_that_stays_away_fails_the_backup_in_a_sentence(troubled: tuple[PlainGuest, Relay], trouble: str) -> None:
    guest, way = troubled
    job = guest.job()
    way.trouble.always = trouble
    with pytest.raises(Unavailable, match=r"^The object store cannot be reached: .*\.$") as told:
        guest.run(job, CONTENT)
    assert "temp_url" not in str(told.value)
    way.trouble.always = None
    assert manifest_name(str(job["backup_id"])) not in {info.name for info in guest.store.list(CONTAINER)}


def test_a_store_that_goes_away_fails_the_restore_and_leaves_nothing(troubled: tuple[PlainGuest, Relay]) -> None:
    guest, way = troubled
    chain = guest.chain(guest.back_up(CONTENT))
    way.trouble.coming = ["", ""]

    def away(_step: str, percent: int) -> None:
        if percent > 3:
            way.trouble.always = "refuse"

    guest.progress = away  # type: ignore[method-assign]
    with pytest.raises(GuestError, match="backup cannot be read"):
        guest.restored(chain)
    assert list(guest.host.data_dir.iterdir()) == []


class _FirstWaits(FileObjectStore):
    """Has the first segment only once it has the second."""

    second = threading.Event()

    def put(self, container: str, name: str, chunks: Iterable[bytes], **more: Any) -> ObjectInfo:
        if name.endswith("/00000000") and not _FirstWaits.second.wait(30):
            raise Unavailable("There is no second segment.")
        made = super().put(container, name, chunks, **more)
        if name.endswith("/00000001"):
            _FirstWaits.second.set()
        return made


def test_a_segment_is_on_its_way_while_another_is_stored_and_they_stay_in_their_order(tmp_path: Path) -> None:
    with file_store(tmp_path / "objects", _FirstWaits) as store:
        guest = PlainGuest(tmp_path / "guest", store)
        assert guest.restored(guest.chain(guest.back_up(CONTENT))) == CONTENT
        assert _FirstWaits.second.is_set()
