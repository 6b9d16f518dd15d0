"""Volumes that Nova left attached to servers which are gone, on a stand-in for openstacksdk."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from trove.cloud.openstack.naming import KEY, name_of
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.volumes import Volumes
from trove.core.errors import Unavailable
from trove.core.ids import new_id


@dataclass
class Storage:
    """One volume, with who holds it by the ids of the attachments."""

    volume: SimpleNamespace | None
    holders: dict[str, str | None] = field(default_factory=dict)

    def volumes(self, *, details: bool, name: str) -> list[SimpleNamespace]:
        """Return the volume if that is its name."""
        return [self.volume] if self.volume is not None and details and name == self.volume.name else []

    def get_volume(self, volume_id: str) -> SimpleNamespace:
        """Return the volume."""
        assert self.volume is not None
        assert volume_id == self.volume.id
        return self.volume

    def attachments(self, *, volume_id: str) -> list[SimpleNamespace]:
        """Return who holds it."""
        assert self.volume is not None
        assert volume_id == self.volume.id
        return [SimpleNamespace(id=each, instance=server) for each, server in self.holders.items()]

    def delete_attachment(self, attachment: SimpleNamespace) -> None:
        """Let it go; the last one makes it available."""
        assert self.volume is not None
        del self.holders[attachment.id]
        if not self.holders:
            self.volume.status, self.volume.attachments = "available", []

    def delete_volume(self, volume: SimpleNamespace, *, force: bool) -> None:
        """Delete it, which needs it available."""
        assert volume.status == "available"
        assert not force
        self.volume = None


def volumes(status: str, holders: dict[str, str | None], *, living: set[str]) -> tuple[Volumes, Storage, str]:
    one = new_id()
    told = {"id": "v1", "name": name_of(one), "metadata": {KEY: one}, "size": 1, "volume_type": None, "created_at": "2026"}
    made = SimpleNamespace(**told, status=status, attachments=[])
    storage = Storage(made, holders)
    connection: Any = SimpleNamespace(block_storage=storage)
    return Volumes(connection, OpenStackSettings(auth={}), living.__contains__), storage, one


@pytest.mark.parametrize("status", ["in-use", "detaching", "reserved"])
def test_a_volume_is_taken_from_a_server_that_is_gone_and_deleted(status: str) -> None:
    found, storage, one = volumes(status, {"a1": "gone"}, living=set())
    found.delete(one)
    assert storage.volume is None


def test_a_volume_that_a_server_has_is_left_to_it() -> None:
    found, storage, one = volumes("in-use", {"a1": "there", "a2": "gone"}, living={"there"})
    with pytest.raises(Unavailable, match="still attached"):
        found.delete(one)
    assert storage.holders == {"a1": "there"}


def test_a_volume_that_somebody_has_without_a_server_is_left_to_him() -> None:
    found, storage, one = volumes("in-use", {"a1": None}, living=set())
    with pytest.raises(Unavailable, match="still attached"):
        found.delete(one)
    assert storage.holders == {"a1": None}


def test_a_server_that_is_made_anew_can_have_the_volume_of_one_that_is_gone() -> None:
    found, storage, one = volumes("in-use", {"a1": "gone"}, living=set())
    freed = found.free(one)
    assert freed is not None
    assert not freed.attached
    assert not storage.holders
