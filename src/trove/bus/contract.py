"""What every bus does: calls and casts to topics, acknowledged after handling, sealed per principal.

Principals: `CONTROL` (api, taskmanager, conductor: they share one key) or the id of an instance (its guest agent).
A topic belongs to the principal that consumes it. What travels between the control plane and a guest is sealed with that
guest's key; what travels inside the control plane is sealed with the control key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from trove.core.json import JSON
from trove.core.notifications import Notification

CONTROL = "control"

TASKMANAGER_TOPIC = "taskmanager"
CONDUCTOR_TOPIC = "trove-conductor"


def guest_topic(instance_id: str) -> str:
    """Return the topic that the guest agent of `instance_id` consumes."""
    return f"guestagent.{instance_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One opened and verified message. `sender` is proven by the seal, never taken from headers."""

    sender: str
    method: str
    args: Mapping[str, JSON] = field(repr=False)
    sent: datetime
    request_id: str | None = None
    redelivered: bool = False


Handler = Callable[[Message], JSON]
"""Handles one message. A call's return value goes back to the caller; a raised TroveError goes back as itself
(by its code and message), any other exception as GuestError without its text. A cast's error is logged."""

BatchHandler = Callable[[Sequence[Message]], None]
"""Handles several casts at once. Returning acknowledges them all; raising `Unavailable` leaves them for redelivery.
Any other exception makes the bus hand them over again one by one, and set aside those that still fail (poison)."""


class Keyring(Protocol):
    """Where sealing keys come from."""

    def key(self, principal: str) -> bytes:
        """Return the 32-byte key of `principal`; raise `Refused` when it has none (unknown, or deleted)."""


class Subscription(Protocol):
    """A running consumer."""

    def stop(self, *, drain_timeout_s: float = 10.0) -> None:
        """Take no more messages, let those in hand finish, return what was not begun to the queue. May run twice."""


class Bus(Protocol):
    """A connection to the bus as one principal. Thread-safe. Reconnects by itself."""

    def call(
        self, topic: str, method: str, args: Mapping[str, JSON], *, timeout_s: float, request_id: str | None = None
    ) -> JSON:
        """Send and wait for the answer.

        Raises `GuestTimeout` after `timeout_s` seconds without answer, `Unavailable` when the bus cannot be reached in that
        time, or the TroveError that the other side raised. A call that timed out is not executed later (it expires).
        """

    def cast(self, topic: str, method: str, args: Mapping[str, JSON], *, request_id: str | None = None) -> None:
        """Send without waiting for handling; returns when the bus has stored the message. Raises `Unavailable`."""

    def serve(self, topic: str, handler: Handler, *, workers: int = 4) -> Subscription:
        """Consume `topic` with `workers` threads, at most that many messages in hand. Each is acknowledged after handling.

        A message whose consumer died is delivered again. A message that cannot be opened, or whose handling crashed the
        consumer 3 times, is set aside on `<topic>.poison` with the reason logged, and does not loop.
        """

    def serve_batches(
        self, topic: str, handler: BatchHandler, *, max_batch: int = 500, max_wait_s: float = 0.05
    ) -> Subscription:
        """Consume `topic` in batches on one thread: up to `max_batch` messages, or what came within `max_wait_s`."""

    def close(self) -> None:
        """Stop all subscriptions and disconnect. May run twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestCredential:
    """How a guest reaches the bus: a URL of its own, with a user and password good for its own topics only."""

    url: str = field(repr=False)


class Admission(Protocol):
    """Lets guests onto the bus, and off it. Runs in the control plane."""

    def admit(self, instance_id: str) -> GuestCredential:
        """Ensure the guest's queue and its own bus user; return its credential.

        May run twice: same rights, and the password is derived, so the same credential again.
        """

    def readmit(self, instance_ids: Iterable[str]) -> None:
        """Ensure for many guests what `admit` does, for instance after the broker lost its data. May run twice."""

    def expel(self, instance_id: str) -> None:
        """Remove the guest's user, its connections and its queue. May run twice."""

    def held(self) -> frozenset[str] | None:
        """Return the ids of the instances whose guests have a user; None when that cannot be told. Raises `Unavailable`."""


class NotificationTransport(Protocol):
    """Brings notifications to whoever listens for them."""

    def publish(self, notification: Notification) -> None:
        """Publish, and return once it is out of our hands. May wait for as long as the broker is away. Raises anything."""

    def close(self) -> None:
        """Let go of the broker. May run twice."""
