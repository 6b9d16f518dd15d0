"""Puts objects into the object store, and gets them, with nothing but a ticket."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from typing import Any

from trove.core.errors import Conflict, GuestError, NotFound, Refused, Unavailable
from trove.core.tickets import Ticket
from trove.guestagent import trust

TIMEOUT_S = 60.0
ATTEMPTS = 8
LONGEST_PAUSE_S = 10.0

# No proxy, and no other protocol: the ticket says where to go.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler(),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=trust.ca_file)),
    urllib.request.HTTPErrorProcessor(),
    urllib.request.HTTPDefaultErrorHandler(),
):
    _OPENER.add_handler(_handler)


def put(
    ticket: Ticket,
    name: str,
    content: bytes | memoryview,
    *,
    metadata: Mapping[str, str] | None = None,
    attempts: int = ATTEMPTS,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Store an object, whole or not at all; tries for some minutes. Raises `Unavailable`, `Refused`, `GuestError`.

    Raises `Conflict` when there is one already and the ticket is for new ones only; it may be ours, whose receipt was lost.
    `alive` is called before each new attempt, and raises when it is of no use any more.
    """
    headers = {} if ticket.meta is None else {f"{ticket.meta}{key}": value for key, value in (metadata or {}).items()}
    request = partial(
        urllib.request.Request,
        ticket.url_of(name),
        data=content,
        headers={**headers, **ticket.headers},
        method=ticket.verb.value,
    )
    _ask(name, request, attempts=attempts, alive=alive)


def get(ticket: Ticket, name: str, *, most: int) -> bytes:
    """Return an object of at most `most` bytes. Raises `NotFound`, `Unavailable`, `Refused`, `GuestError`."""
    request = partial(urllib.request.Request, ticket.url_of(name), headers=dict(ticket.headers), method=ticket.verb.value)
    content = _ask(name, request, most=most)
    if len(content) > most:
        raise GuestError(f"Object {name} is larger than it should be.")
    return content


def _ask(
    name: str,
    request: Callable[[], urllib.request.Request],
    *,
    most: int = 0,
    attempts: int = ATTEMPTS,
    alive: Callable[[], None] = lambda: None,
) -> bytes:
    pause_s = 0.2
    for attempt in range(1, attempts + 1):
        try:
            with _OPENER.open(request(), timeout=TIMEOUT_S) as reply:
                body: bytes = reply.read(most + 1)
                _need_whole(reply, body, most)
                return body
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                raise NotFound(f"Object {name} cannot be found in the object store.") from None
            if error.code in {401, 403}:
                raise Refused("The object store does not take the ticket: it has expired, or is for something else.") from None
            if error.code == 412:
                raise Conflict(f"There is an object {name} in the object store already.") from None
            if error.code < 500 and error.code not in {408, 409, 429}:
                raise GuestError(f"The object store refuses object {name}: it answers {error.code}.") from None
            reason = f"it answers {error.code}"
        except (OSError, HTTPException) as error:
            # The URL holds the ticket, so the error's own words are not repeated.
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            reason = type(cause if isinstance(cause, Exception) else error).__name__
        if attempt < attempts:
            time.sleep(pause_s)
            alive()
            pause_s = min(LONGEST_PAUSE_S, pause_s * 3)
    raise Unavailable(f"The object store cannot be reached: {reason}.")


def _need_whole(reply: Any, body: bytes, most: int) -> None:
    """Raise `OSError` when the connection broke before all that was promised had come."""
    promised = reply.headers.get("Content-Length", "")
    if promised.isdigit() and len(body) < min(int(promised), most + 1):
        raise ConnectionResetError("the answer ended early")
