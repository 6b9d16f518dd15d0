import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.bus import inbox
from trove.bus.contract import CONDUCTOR_TOPIC, TASKMANAGER_TOPIC


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_message_is_unpacked_as_it_was_packed(about: bytes, body: bytes) -> None:
    name, key, packed = inbox.put(CONDUCTOR_TOPIC, {b"about": about, b"body": body})
    assert (name, key) == ("RPUSH", "trove-conductor.inbox")
    assert isinstance(packed, bytes)
    assert inbox.unpack(packed) == {b"about": about, b"body": body}


@given(st.binary(max_size=50))
def test_anything_is_unpacked(packed: bytes) -> None:
    assert set(inbox.unpack(packed)) == {b"about", b"body"}


@pytest.mark.parametrize("packed", [b"", b"5 abc", b"-1 abc", b"9999999999 x", b"abc"])
def test_of_a_malformed_one_the_body_is_all_of_it(packed: bytes) -> None:
    assert inbox.unpack(packed) == {b"about": b"{}", b"body": packed}


def test_guests_write_to_the_conductor_only() -> None:
    assert inbox.has_inbox(CONDUCTOR_TOPIC)
    assert not inbox.has_inbox(TASKMANAGER_TOPIC)
