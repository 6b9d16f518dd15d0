"""Errors on the wire: a TroveError crosses the bus as its code and message and comes out as the same class."""

from collections.abc import Iterator

from trove.core.errors import GuestError, TroveError


def _classes(top: type[TroveError]) -> Iterator[type[TroveError]]:
    for below in top.__subclasses__():
        yield from _classes(below)
    yield top


def error_of(code: str, message: str) -> TroveError:
    """Return the error that `code` names; an unknown code makes a GuestError."""
    for kind in _classes(TroveError):
        if kind.__module__ == TroveError.__module__ and kind.code == code:
            return kind(message)
    return GuestError(message)


def form_of(error: Exception) -> tuple[str, str]:
    """Return the code and message that may leave this process: of a foreign exception nothing but that it happened."""
    if isinstance(error, TroveError):
        return error.code, error.message
    return GuestError.code, "the request failed inside; its log says why"
