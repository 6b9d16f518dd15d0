"""Sealing: every message proves who wrote it, for whom and when, and only its two ends can read it.

AES-256-GCM with a fresh random nonce. The associated data bind the protocol version, the principal that sealed, the direction,
the topic and, for replies, the correlation id. The only clear header is the name of the principal that sealed; it is bound too.
"""

import base64
import json
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, Keyring
from trove.core.errors import InvalidInput, Refused
from trove.core.ids import is_id
from trove.core.json import JSON

VERSION = "trove-1"
MAX_SIZE = 64 * 1024 * 1024
REPLAY_WINDOW_S = 900.0

_NONCE_SIZE = 12
_KEY_SIZE = 32
_GUEST_PREFIX = "guestagent."


class ReplayedError(Refused):
    """The very same sealed message was handled before."""


class FixedKeys:
    """A keyring of a few keys in memory: a guest agent has one, its own."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"FixedKeys({sorted(self._keys)})"

    def key(self, principal: str) -> bytes:
        """Return the key of `principal`; raise `Refused` when there is none."""
        try:
            return self._keys[principal]
        except KeyError:
            raise Refused(f"no sealing key of {principal!r}") from None


class CachedKeys:
    """A keyring that asks the one behind it at most every `ttl_s` seconds for the same key. Refusals are not remembered."""

    def __init__(self, keyring: Keyring, *, ttl_s: float = 5.0, limit: int = 10_000) -> None:
        self._keyring = keyring
        self._ttl_s = ttl_s
        self._limit = limit
        self._known: dict[str, tuple[bytes, float]] = {}

    def key(self, principal: str) -> bytes:
        """Return the key of `principal`; raises what the keyring raises."""
        known = self._known.get(principal)
        now = time.monotonic()
        if known is not None and now < known[1]:
            return known[0]
        self._known.pop(principal, None)
        key = self._keyring.key(principal)
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[principal] = (key, now + self._ttl_s)
        return key


def key_from_text(text: str) -> bytes:
    """Read a key as configuration files carry it: base64 of 32 bytes. Raises `InvalidInput` without echoing it."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_SIZE:
        raise InvalidInput("a sealing key must be the base64 form of 32 bytes")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a sealed request carries. Times are seconds since the epoch; a cast never expires."""

    sender: str
    method: str
    args: Mapping[str, JSON] = field(repr=False)
    sent: float
    nonce: bytes = b""
    expires: float | None = None
    request_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None

    @property
    def expired(self) -> bool:
        """Tell whether the caller has given up waiting."""
        return self.expires is not None and time.time() > self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a sealed reply carries: a result, or the error's code and message."""

    result: JSON = field(default=None, repr=False)
    error: tuple[str, str] | None = None


def owner(topic: str) -> str:
    """Return the principal that consumes `topic`."""
    return topic.removeprefix(_GUEST_PREFIX) if topic.startswith(_GUEST_PREFIX) else CONTROL


def message_nonce(sealed: bytes) -> bytes:
    """Return the nonce of a sealed message, which names it uniquely; empty when it is too short to be one."""
    return bytes(sealed[:_NONCE_SIZE]) if len(sealed) > _NONCE_SIZE else b""


class SeenNonces:
    """Bounded memory of what was handled. When it is full, what is as old as the oldest forgotten is refused instead."""

    def __init__(self, *, window_s: float, limit: int) -> None:
        self._window_s = window_s
        self._limit = limit
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._floor = -math.inf
        self._lock = threading.Lock()

    def __contains__(self, nonce: bytes) -> bool:
        return nonce in self._seen

    def too_old(self, sent: float) -> bool:
        """Tell whether a message of that time could have been handled and forgotten."""
        return sent <= self._floor

    def add(self, nonce: bytes, sent: float) -> None:
        """Remember a handled message. May run twice."""
        with self._lock:
            self._seen[nonce] = sent
            horizon = time.time() - self._window_s
            while self._seen:
                first = next(iter(self._seen))
                if self._seen[first] >= horizon and len(self._seen) <= self._limit:
                    return
                forgotten = self._seen.pop(first)
                if forgotten >= horizon:
                    self._floor = max(self._floor, forgotten)


class Sealer:
    """Seals and opens as one principal. Thread-safe."""

    def __init__(
        self,
        principal: str,
        keyring: Keyring,
        *,
        window_s: float = REPLAY_WINDOW_S,
        memory: int = 250_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.principal = principal
        self._keyring = keyring
        self._window_s = window_s
        self._clock = clock
        self.seen = SeenNonces(window_s=window_s, limit=memory)

    def seal_request(self, topic: str, request: Request) -> bytes:
        """Seal a request for the owner of `topic`. Raises `Refused` without a key, `InvalidInput` above 64 MiB."""
        payload: dict[str, JSON] = {"method": request.method, "args": request.args, "sent": request.sent}
        for name in ("expires", "request_id", "reply_to", "correlation_id"):
            if (value := getattr(request, name)) is not None:
                payload[name] = value
        return self._seal(self._peer_key(owner(topic)), _associated(self.principal, "request", topic), payload)

    def open_request(self, topic: str, sealed_by: str, sealed: bytes) -> Request:
        """Open and verify a request that came to `topic`. Raises `Refused`; `ReplayedError` when `handled` had it."""
        self._check_way(topic, sealed_by)
        key = self._keyring.key(sealed_by if self.principal == CONTROL else self.principal)
        payload = self._open(key, _associated(sealed_by, "request", topic), sealed)
        nonce = message_nonce(sealed)
        request = _request(sealed_by, nonce, payload)
        if nonce in self.seen:
            raise ReplayedError(f"message {request.method!r} from {sealed_by!r} was handled before")
        if abs(self._clock() - request.sent) > self._window_s or self.seen.too_old(request.sent):
            raise Refused(f"message {request.method!r} from {sealed_by!r} is outside the replay window of {self._window_s:g} s")
        return request

    def handled(self, request: Request) -> None:
        """Remember that `request` was handled, so that it opens no more. Before that it opens as often as it is delivered."""
        self.seen.add(request.nonce, request.sent)

    def seal_reply(self, topic: str, request: Request, reply: Reply) -> bytes:
        """Seal the answer to `request`, which came to `topic`. Raises as `seal_request`."""
        payload: dict[str, JSON] = {"result": reply.result}
        if reply.error is not None:
            payload = {"error": {"code": reply.error[0], "message": reply.error[1]}}
        associated = _associated(self.principal, "reply", topic, request.correlation_id or "")
        return self._seal(self._peer_key(request.sender), associated, payload)

    def open_reply(self, topic: str, correlation_id: str, sealed: bytes) -> Reply:
        """Open the answer to the request with `correlation_id` sent to `topic`. Raises `Refused`."""
        sealed_by = owner(topic)
        payload = self._open(self._peer_key(sealed_by), _associated(sealed_by, "reply", topic, correlation_id), sealed)
        error = payload.get("error")
        if error is None:
            return Reply(result=payload.get("result"))
        if not isinstance(error, dict):
            raise Refused("malformed reply")
        return Reply(error=(str(error.get("code", "")), str(error.get("message", ""))))

    def _peer_key(self, peer: str) -> bytes:
        return self._keyring.key(peer if self.principal == CONTROL else self.principal)

    def _check_way(self, topic: str, sealed_by: str) -> None:
        if sealed_by != CONTROL and not is_id(sealed_by):
            raise Refused("the message does not say who sealed it")
        if CONTROL not in (self.principal, sealed_by):
            raise Refused(f"a guest takes messages of the control plane only, not of {sealed_by!r}")
        if self.principal == CONTROL and sealed_by != CONTROL and topic != CONDUCTOR_TOPIC:
            raise Refused(f"guest {sealed_by!r} may not write to {topic!r}")

    def _seal(self, key: bytes, associated: bytes, payload: Mapping[str, JSON]) -> bytes:
        clear = json.dumps(payload, separators=(",", ":")).encode()
        if len(clear) > MAX_SIZE:
            raise InvalidInput(f"the message of {len(clear)} bytes is larger than the bus carries ({MAX_SIZE} bytes)")
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + AESGCM(_checked(key)).encrypt(nonce, clear, associated)

    def _open(self, key: bytes, associated: bytes, sealed: bytes) -> dict[str, JSON]:
        nonce = message_nonce(sealed)
        if not nonce or len(sealed) > MAX_SIZE + 64:
            raise Refused("the message is too short or too long to be sealed")
        try:
            payload = json.loads(AESGCM(_checked(key)).decrypt(nonce, sealed[_NONCE_SIZE:], associated))
        except InvalidTag:
            raise Refused("the message was not sealed with the key of its sender for this way") from None
        except (ValueError, RecursionError):
            raise Refused("the sealed message is not JSON") from None
        if not isinstance(payload, dict):
            raise Refused("the sealed message is not an object")
        return payload


def _checked(key: bytes) -> bytes:
    if len(key) != _KEY_SIZE:
        raise Refused("a sealing key must have 32 bytes")
    return key


def _associated(*parts: str) -> bytes:
    return json.dumps([VERSION, *parts]).encode()


def _request(sealed_by: str, nonce: bytes, payload: Mapping[str, JSON]) -> Request:
    method, args, sent, expires = payload.get("method"), payload.get("args"), payload.get("sent"), payload.get("expires")
    if not isinstance(method, str) or not isinstance(args, dict) or not _is_time(sent):
        raise Refused(f"malformed request from {sealed_by!r}")
    if expires is not None and not _is_time(expires):
        raise Refused(f"malformed request from {sealed_by!r}")
    texts: dict[str, str | None] = {}
    for name in ("request_id", "reply_to", "correlation_id"):
        value = payload.get(name)
        if value is not None and not isinstance(value, str):
            raise Refused(f"malformed request from {sealed_by!r}")
        texts[name] = value
    assert isinstance(sent, int | float)
    assert expires is None or isinstance(expires, int | float)
    return Request(sender=sealed_by, method=method, args=args, sent=sent, nonce=nonce, expires=expires, **texts)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
