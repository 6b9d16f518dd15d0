import pytest

from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, TASKMANAGER_TOPIC, Message, guest_topic
from trove.bus.memory import MemoryBus
from trove.bus.sealing import FixedKeys
from trove.core.errors import GuestTimeout, Refused, Unavailable, Unsupported
from trove.core.ids import new_id

GUEST = new_id()


def test_the_next_message_can_be_lost() -> None:
    bus = MemoryBus()
    seen: list[str] = []
    bus.serve("t", lambda message: seen.append(message.method), workers=1)
    bus.broker.drop_next("t")
    bus.cast("t", "lost", {})
    bus.broker.drop_next()
    with pytest.raises(GuestTimeout):
        bus.call("t", "lost too", {}, timeout_s=0.05)
    bus.call("t", "arrives", {}, timeout_s=10)
    assert seen == ["arrives"]
    bus.close()


def test_the_next_send_can_fail() -> None:
    bus = MemoryBus()
    bus.broker.fail_next("t", count=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            bus.cast("t", "x", {})
    bus.cast("t", "x", {})
    bus.close()


def test_a_guest_is_confined_as_on_a_broker() -> None:
    guest = MemoryBus().as_principal(GUEST)
    guest.cast(CONDUCTOR_TOPIC, "heartbeat", {})
    with pytest.raises(Unavailable):
        guest.cast(TASKMANAGER_TOPIC, "run_operation", {})
    with pytest.raises(Unsupported):
        guest.call(CONDUCTOR_TOPIC, "ask", {}, timeout_s=1)


def test_a_guest_without_key_is_refused() -> None:
    bus = MemoryBus(keyring=FixedKeys({CONTROL: b"c" * 32}))
    bus.cast(TASKMANAGER_TOPIC, "x", {})
    with pytest.raises(Refused):
        bus.cast(guest_topic(GUEST), "x", {})


def test_arguments_are_copied() -> None:
    bus = MemoryBus()
    received: list[Message] = []
    bus.serve("t", received.append, workers=1)
    names = ["a"]
    bus.cast("t", "x", {"names": names})
    names.append("b")
    bus.call("t", "barrier", {}, timeout_s=10)
    assert received[0].args == {"names": ["a"]}
    bus.close()
