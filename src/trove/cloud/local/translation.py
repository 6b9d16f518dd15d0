"""What every verb of the local cloud begins with: an id that is one, and errors of the machine told in its own words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from trove.core.errors import CloudError, InvalidInput, NotFound, TroveError
from trove.core.ids import is_id


def checked(instance_id: str) -> str:
    """Return the id of an instance; raise `InvalidInput` for what is none, which might lead out of the state directory."""
    if not is_id(instance_id):
        raise InvalidInput(f"{instance_id!r} is not the id of an instance")
    return instance_id


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the machine into `CloudError` with its own words, such as a full disk."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise CloudError(f"The local cloud cannot go on: {error.strerror or error}{where}") from error


def for_each(ids: Sequence[str], verb: Callable[[str], object]) -> Mapping[str, TroveError]:
    """Do something for several instances at once; return the errors by id. One that is gone meanwhile is none."""
    errors: dict[str, TroveError] = {}

    def guarded(instance_id: str) -> None:
        try:
            verb(instance_id)
        except NotFound:
            return
        except TroveError as error:
            errors[instance_id] = error

    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(guarded, ids))
    return errors
