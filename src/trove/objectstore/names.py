"""Which names containers and objects may have: one rule for every store, so that what one accepts all accept."""

from trove.core.errors import InvalidInput

MAX_CONTAINER_BYTES = 255
MAX_NAME_BYTES = 512


def check_container(container: str) -> None:
    """Raise `InvalidInput` unless `container` is 1 to 255 bytes of UTF-8 without `/` and NUL, and not `.` or `..`."""
    _check("container", container, MAX_CONTAINER_BYTES)
    if "/" in container:
        raise InvalidInput("container: must not contain '/'")


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` is 1 to 512 bytes of UTF-8 without NUL. It may have `/`, but no part `.` or `..`."""
    _check("object name", name, MAX_NAME_BYTES)


def _check(field: str, text: str, limit: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{field}: must be valid Unicode") from None
    if not 1 <= size <= limit:
        raise InvalidInput(f"{field}: must be 1 to {limit} bytes of UTF-8, is {size}")
    if "\0" in text:
        raise InvalidInput(f"{field}: must not contain NUL")
    if not {".", ".."}.isdisjoint(text.split("/")):
        # On their way to a store, HTTP libraries would take them for directions.
        raise InvalidInput(f"{field}: must not be, nor contain between slashes, '.' or '..'")
