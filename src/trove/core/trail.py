"""Which request and operation the present thread works for, so that each log line can say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
OPERATION_ID: ContextVar[str | None] = ContextVar("operation_id", default=None)


@contextmanager
def trail(*, request_id: str | None = None, operation_id: str | None = None) -> Iterator[None]:
    """Work for this request and operation inside the block."""
    request, operation = REQUEST_ID.set(request_id), OPERATION_ID.set(operation_id)
    try:
        yield
    finally:
        OPERATION_ID.reset(operation)
        REQUEST_ID.reset(request)
