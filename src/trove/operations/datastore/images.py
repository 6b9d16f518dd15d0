"""Which image servers of a datastore version are booted from: found in the cloud before it is stored."""

from collections.abc import Sequence

from trove.core.errors import InvalidInput, NotFound
from trove.operations.doors import Doors


def need_image(doors: Doors, image_id: str | None, tags: Sequence[str]) -> None:
    """Raise `InvalidInput` unless the cloud has the image, or without an id one with all tags."""
    if image_id is None and not tags:
        raise InvalidInput("version: needs an image or image_tags")
    try:
        doors.cloud.find_image(image_id, tags)
    except NotFound as error:
        raise InvalidInput(f"version: {'image' if image_id else 'image_tags'}: {error.message}") from error
