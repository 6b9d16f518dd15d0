"""The clock: every time inside Trove is aware UTC."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return the current time as an aware UTC datetime with microseconds."""
    return _source()


def wire_time(moment: datetime) -> str:
    """Render `moment` as the API does: `YYYY-MM-DDTHH:MM:SS`, UTC, without fraction and zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


@contextmanager
def told_by(source: Callable[[], datetime]) -> Iterator[None]:
    """Let `utcnow` return what `source` says, in all threads, inside the block: rehearsals make time pass, or stand still."""
    global _source  # noqa: PLW0603
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before


def _system_time() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system_time
