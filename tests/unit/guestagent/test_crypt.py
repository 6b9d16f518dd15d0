"""Encrypted streams: what comes out is what went in, or nothing at all."""

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trove.core.errors import GuestError
from trove.guestagent import crypt

KEY, ID = secrets.token_bytes(32), "b1"
HEADER = len(crypt.MARK) + 4 + 32
SEALED_FRAME = crypt.FRAME + 16


def sealed(content: bytes, key: bytes = KEY, backup_id: str = ID) -> bytes:
    return b"".join(crypt.encrypted([content], key, backup_id))


def opened(stream: bytes, key: bytes = KEY, backup_id: str = ID, step: int = 100_000) -> bytes:
    pieces = [stream[begin : begin + step] for begin in range(0, len(stream), step)]
    return b"".join(crypt.decrypted(pieces, key, backup_id))


@settings(deadline=None)  # nothing is promised of a busy machine
@given(
    sizes=st.lists(st.sampled_from([0, 1, 1000, crypt.FRAME - 1, crypt.FRAME, crypt.FRAME + 1, 2 * crypt.FRAME]), max_size=4),
    step=st.sampled_from([977, 65_536, crypt.FRAME, 10_000_000]),
)
def test_what_goes_in_comes_out(sizes: list[int], step: int) -> None:
    chunks = [secrets.token_bytes(size) for size in sizes]
    stream = b"".join(crypt.encrypted(chunks, KEY, ID))
    assert opened(stream, step=step) == b"".join(chunks)


def test_nothing_of_the_clear_text_shows_and_no_two_streams_are_alike() -> None:
    content = b"the tenant's own words " * 50_000
    first, second = sealed(content), sealed(content)
    assert b"tenant" not in first
    assert first[HEADER:] != second[HEADER:]
    assert len(first) < len(content) * 1.001


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "damage",
    [
        "flip first",
        "flip last",
        "flip header",
        "flip salt",
        "cut",
        "cut frame",
        "cut all",
        "more",
        "swap",
        "other id",
        "other key",
    ],
)
def test_whatever_is_altered_does_not_open(frames: int, damage: str) -> None:
    stream = sealed(secrets.token_bytes(crypt.FRAME * (frames - 1) + 1000))
    body = stream[HEADER:]
    parts = [body[begin : begin + SEALED_FRAME] for begin in range(0, len(body), SEALED_FRAME)]
    if damage == "swap":
        parts = parts[1::-1] + parts[2:] if frames > 1 else [sealed(b"of another")[HEADER:]]
    if damage == "cut frame":
        parts.pop()
    stream = stream[:HEADER] + b"".join(parts)
    changed = bytearray(stream)
    if damage.startswith("flip"):
        changed[{"flip first": HEADER, "flip last": -1, "flip header": 9, "flip salt": HEADER - 1}[damage]] ^= 1
    stream = {"cut": stream[:-1], "cut all": b"", "more": stream + b"x"}.get(damage, bytes(changed))
    with pytest.raises(GuestError, match="damaged"):
        opened(stream, secrets.token_bytes(32) if damage == "other key" else KEY, "b2" if damage == "other id" else ID)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "ü"])
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(GuestError, match="malformed"):
        crypt.key_of(text)
