"""Glance's images and Nova's flavors: what servers are made of."""

from collections.abc import Sequence
from typing import Any

from trove.cloud.openstack.errors import translated
from trove.core.errors import CloudError, NotFound
from trove.core.flavors import Flavor


class Images:
    """The images that the service may use."""

    def __init__(self, connection: Any) -> None:
        self._image = connection.image

    def find(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of that image, or for None of the newest that has all `tags`. Raises `NotFound`."""
        if image_id is not None:
            with translated("look for the image"):
                # By its name, too: that is what operators know.
                for found in (*self._image.images(id=f"in:{image_id}"), *self._image.images(name=image_id)):
                    return str(found.id)
            raise NotFound(f"Image {image_id!r} cannot be found.")
        if not tags:
            raise NotFound("An image needs an id or tags to be found by.")
        with translated("look for the image"):
            # Glance takes the tag many times, openstacksdk once: the others are compared here.
            for image in self._image.images(tag=tags[0], sort="created_at:desc", status="active"):
                if set(tags) <= set(image.tags or ()):
                    return str(image.id)
        raise NotFound(f"No image has the tags {', '.join(tags)}.")

    def need(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Do the same for a server that is to be made of it. Raises `CloudError`."""
        try:
            return self.find(image_id, tags)
        except NotFound as error:
            raise CloudError(error.message) from error


class Flavors:
    """Nova's flavors."""

    def __init__(self, connection: Any) -> None:
        self._compute = connection.compute

    def all(self) -> tuple[Flavor, ...]:
        """Return all flavors that are public, ordered by memory."""
        with translated("list flavors"):
            found = [_flavor(each) for each in self._compute.flavors(details=True) if not each.is_disabled]
        return tuple(sorted(found, key=lambda flavor: (flavor.ram_mib, flavor.vcpus, flavor.id)))

    def get(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        with translated(f"find the flavor {flavor_id}"):
            return _flavor(self._compute.get_flavor(flavor_id))


def _flavor(found: Any) -> Flavor:
    return Flavor(
        id=str(found.id),
        name=str(found.name or found.original_name),
        ram_mib=int(found.ram),
        vcpus=int(found.vcpus),
        disk_gib=int(found.disk or 0),
        ephemeral_gib=int(found.ephemeral or 0),
    )
