"""The clock: every time inside Trove is aware UTC."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return the current time as an aware UTC datetime with microseconds."""
    return datetime.now(UTC)


def wire_time(moment: datetime) -> str:
    """Render `moment` as the API does: `YYYY-MM-DDTHH:MM:SS`, UTC, without fraction and zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
