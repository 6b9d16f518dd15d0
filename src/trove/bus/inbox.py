"""Inboxes: how guests write to a stream that they may not touch.

Whoever may XADD to a stream may also trim it, or give it a last possible id so that nothing can be added any more; Valkey's ACL
knows no rights on arguments. So what many guests write to goes through a list: RPUSH can only append. Consumers move entries
from the list to the stream inside the server, where nothing can die in between.
"""

from collections.abc import Mapping

from trove.bus.contract import CONDUCTOR_TOPIC

INBOX_SUFFIX = ".inbox"
STAGING_SUFFIX = ".staging"

_QUEUES = frozenset({CONDUCTOR_TOPIC})

# KEYS: staging, inbox, stream. ARGV[1]: how many at most.
_MOVE = """
local room = tonumber(ARGV[1])
for number = 1, 2 do
  local items = room > 0 and redis.call('LPOP', KEYS[number], room)
  if items then
    for _, item in ipairs(items) do redis.call('XADD', KEYS[3], '*', 'packed', item) end
    room = room - #items
  end
end
"""

Command = tuple[bytes | str | int, ...]


def has_inbox(queue: str) -> bool:
    """Tell whether a queue is written through an inbox."""
    return queue in _QUEUES


def keys(queue: str) -> tuple[str, ...]:
    """Return the keys beside the queue's own, none for most queues."""
    return (queue + INBOX_SUFFIX, queue + STAGING_SUFFIX) if has_inbox(queue) else ()


def put(queue: str, fields: Mapping[bytes, bytes]) -> Command:
    """Return the command that stores a message in the queue's inbox."""
    about = fields[b"about"]
    return ("RPUSH", queue + INBOX_SUFFIX, b"%d " % len(about) + about + fields[b"body"])


def await_one(queue: str, timeout_ms: int) -> Command:
    """Return the command that blocks until the inbox has a message; it stages that, so that a death loses nothing."""
    return ("BLMOVE", queue + INBOX_SUFFIX, queue + STAGING_SUFFIX, "LEFT", "RIGHT", f"{timeout_ms / 1000:.3f}")


def move(queue: str, count: int) -> Command:
    """Return the command that moves up to `count` messages from the inbox to the stream at once."""
    return ("EVAL", _MOVE, 3, queue + STAGING_SUFFIX, queue + INBOX_SUFFIX, queue, count)


def unpack(packed: bytes) -> dict[bytes, bytes]:
    """Return the fields of a message that came through an inbox; of a malformed one the body is all of it."""
    size, separator, rest = packed.partition(b" ")
    if not separator or not size.isdigit() or len(size) > 9 or int(size) > len(rest):
        return {b"about": b"{}", b"body": packed}
    return {b"about": rest[: int(size)], b"body": rest[int(size) :]}
