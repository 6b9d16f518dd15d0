import json
import os
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, TASKMANAGER_TOPIC, guest_topic
from trove.bus.sealing import (
    CachedKeys,
    FixedKeys,
    ReplayedError,
    Reply,
    Request,
    Sealer,
    SeenNonces,
    key_from_text,
    owner,
)
from trove.core.errors import InvalidInput, Refused
from trove.core.ids import new_id

GUEST, OTHER = new_id(), new_id()
KEYS = {CONTROL: b"c" * 32, GUEST: b"g" * 32, OTHER: b"o" * 32}


def control(**options: float) -> Sealer:
    return Sealer(CONTROL, FixedKeys(KEYS), **options)  # type: ignore[arg-type]


def guest(name: str = GUEST) -> Sealer:
    return Sealer(name, FixedKeys({name: KEYS[name]}))


def request(sender: str = CONTROL, **fields: object) -> Request:
    return Request(**{"sender": sender, "method": "ask", "args": {"password": "sesame"}, "sent": time.time(), **fields})  # type: ignore[arg-type]


def test_what_is_sealed_opens_at_the_other_end() -> None:
    topic = guest_topic(GUEST)
    sent = request(expires=time.time() + 9, request_id="req-1", reply_to="reply.1", correlation_id="c1")
    opened = guest().open_request(topic, CONTROL, control().seal_request(topic, sent))
    assert opened.nonce
    assert (opened.method, opened.args, opened.sent, opened.expires) == (sent.method, sent.args, sent.sent, sent.expires)
    assert (opened.request_id, opened.reply_to, opened.correlation_id) == ("req-1", "reply.1", "c1")


def test_nothing_of_it_can_be_read_on_the_way_or_in_a_log() -> None:
    sealed = control().seal_request(guest_topic(GUEST), request())
    assert b"sesame" not in sealed
    assert b"ask" not in sealed
    assert "sesame" not in repr(request())
    assert "sesame" not in repr(Reply(result="sesame"))
    assert "cccc" not in repr(FixedKeys(KEYS))


def test_every_message_has_its_own_nonce() -> None:
    assert len({control().seal_request(TASKMANAGER_TOPIC, request())[:12] for _ in range(100)}) == 100


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_refused(position: int, change: int) -> None:
    sealed = bytearray(control().seal_request(TASKMANAGER_TOPIC, request()))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(Refused):
        control().open_request(TASKMANAGER_TOPIC, CONTROL, bytes(sealed))


@given(st.binary(max_size=200))
def test_rubbish_is_refused(rubbish: bytes) -> None:
    with pytest.raises(Refused):
        control().open_request(TASKMANAGER_TOPIC, CONTROL, rubbish)


def test_topic_sender_and_direction_are_bound() -> None:
    sealed = control().seal_request(guest_topic(GUEST), request())
    with pytest.raises(Refused):
        guest(OTHER).open_request(guest_topic(GUEST), CONTROL, sealed)
    with pytest.raises(Refused):
        guest().open_request(guest_topic(OTHER), CONTROL, sealed)
    with pytest.raises(Refused):
        control().open_request(CONDUCTOR_TOPIC, GUEST, sealed)
    with pytest.raises(Refused):
        control().open_reply(guest_topic(GUEST), "", sealed)


def test_a_guest_speaks_for_itself_and_to_the_conductor_only() -> None:
    sealed = guest().seal_request(CONDUCTOR_TOPIC, request(GUEST))
    assert control().open_request(CONDUCTOR_TOPIC, GUEST, sealed).sender == GUEST
    for claimed in (OTHER, CONTROL, new_id(), "", "x" * 5000):
        with pytest.raises(Refused):
            control().open_request(CONDUCTOR_TOPIC, claimed, sealed)
    with pytest.raises(Refused):
        control().open_request(TASKMANAGER_TOPIC, GUEST, guest().seal_request(TASKMANAGER_TOPIC, request(GUEST)))
    with pytest.raises(Refused):
        guest(OTHER).open_request(guest_topic(OTHER), GUEST, sealed)


def test_a_reply_fits_its_call_only() -> None:
    topic = guest_topic(GUEST)
    asked = request(correlation_id="c1")
    sealed = guest().seal_reply(topic, asked, Reply(result=[1]))
    assert control().open_reply(topic, "c1", sealed) == Reply(result=[1])
    with pytest.raises(Refused):
        control().open_reply(topic, "c2", sealed)
    with pytest.raises(Refused):
        control().open_reply(guest_topic(OTHER), "c1", sealed)
    failed = guest().seal_reply(topic, asked, Reply(error=("not_found", "no such user")))
    assert control().open_reply(topic, "c1", failed).error == ("not_found", "no such user")


@pytest.mark.parametrize(("age", "opens"), [(0, True), (890, True), (-890, True), (910, False), (-910, False)])
def test_the_window(age: float, *, opens: bool) -> None:
    sealed = control().seal_request(TASKMANAGER_TOPIC, request(sent=time.time() - age))
    if opens:
        control().open_request(TASKMANAGER_TOPIC, CONTROL, sealed)
        return
    with pytest.raises(Refused, match="window"):
        control().open_request(TASKMANAGER_TOPIC, CONTROL, sealed)


def test_a_message_opens_until_it_was_handled() -> None:
    sealer = control()
    sealed = sealer.seal_request(TASKMANAGER_TOPIC, request())
    opened = sealer.open_request(TASKMANAGER_TOPIC, CONTROL, sealed)
    sealer.open_request(TASKMANAGER_TOPIC, CONTROL, sealed)
    sealer.handled(opened)
    with pytest.raises(ReplayedError):
        sealer.open_request(TASKMANAGER_TOPIC, CONTROL, sealed)


def test_the_memory_is_bounded_and_forgets_nothing_that_could_be_replayed() -> None:
    now = time.time()
    seen = SeenNonces(window_s=900, limit=3)
    for number in range(5):
        seen.add(b"%d" % number, now + number)
    assert [number for number in range(5) if b"%d" % number in seen] == [2, 3, 4]
    assert [number for number in range(5) if seen.too_old(now + number)] == [0, 1]
    aged = SeenNonces(window_s=900, limit=3)
    aged.add(b"old", now - 1000)
    aged.add(b"new", now)
    assert b"old" not in aged
    assert not aged.too_old(now - 1000)


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {},
        {"method": 1, "args": {}, "sent": 0},
        {"method": "m", "args": [], "sent": 0},
        {"method": "m", "args": {}, "sent": "now"},
        {"method": "m", "args": {}, "sent": True},
        {"method": "m", "args": {}, "sent": float("nan")},
        {"method": "m", "args": {}, "sent": 1e300, "expires": "never"},
        {"method": "m", "args": {}, "sent": 0, "reply_to": 7},
    ],
)
def test_a_malformed_request_is_refused_even_when_well_sealed(payload: object) -> None:
    nonce = os.urandom(12)
    associated = json.dumps(["trove-1", CONTROL, "request", TASKMANAGER_TOPIC]).encode()
    sealed = nonce + AESGCM(KEYS[CONTROL]).encrypt(nonce, json.dumps(payload).encode(), associated)
    with pytest.raises(Refused):
        control().open_request(TASKMANAGER_TOPIC, CONTROL, sealed)


def test_who_owns_a_topic() -> None:
    assert owner(guest_topic(GUEST)) == GUEST
    assert owner(CONDUCTOR_TOPIC) == CONTROL


def test_keys_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(Refused):
        Sealer(CONTROL, FixedKeys({CONTROL: b"short"})).seal_request(TASKMANAGER_TOPIC, request())


def test_a_key_comes_from_base64() -> None:
    assert key_from_text("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=") == b"a" * 32
    for text in ("", "YWFh", "not base64", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=!"):
        with pytest.raises(InvalidInput):
            key_from_text(text)


def test_keys_are_asked_for_once_in_a_while() -> None:
    asked: list[str] = []

    class Keys:
        def key(self, principal: str) -> bytes:
            asked.append(principal)
            return FixedKeys(KEYS).key(principal)

    keys = CachedKeys(Keys())
    assert keys.key(GUEST) == keys.key(GUEST) == KEYS[GUEST]
    assert asked == [GUEST]
    for _ in range(2):
        with pytest.raises(Refused):
            keys.key("nobody")
    assert asked == [GUEST, "nobody", "nobody"]
    impatient = CachedKeys(Keys(), ttl_s=0)
    impatient.key(GUEST)
    impatient.key(GUEST)
    assert asked[-2:] == [GUEST, GUEST]
