"""Where the programs of a server come from: this machine's own packages (the image `host`), or an image that was built."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trove.cloud.local.images.catalogue import Image, Images
from trove.cloud.local.images.recipes import RECIPES
from trove.cloud.local.packages import HOST_IMAGE, find_server, told_version
from trove.cloud.local.settings import HostPackages, LocalCloudSettings
from trove.cloud.local.templates import Templates
from trove.core.errors import CloudError, NotFound

LOG = logging.getLogger(__name__)

COMMON_TAG = "trove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A version of a database server to be had. `root` is None for the image `host`."""

    manager: str
    version: str
    image_id: str
    root: Path | None = None

    @property
    def template_name(self) -> str:
        """Return the name of the prepared data directory; other versions have others."""
        return f"{self.manager if self.root is None else self.image_id}-{self.version}"


class Engines:
    """The engines of one state directory. `sandboxed` tells whether bubblewrap works, without which no image can be used."""

    def __init__(
        self, settings: LocalCloudSettings, *, sandboxed: Callable[[], bool], templates: Callable[[], Templates]
    ) -> None:
        self.images = Images(settings.images_dir)
        self._settings = settings
        self._sandboxed = sandboxed
        self._templates = templates

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of an image; for None that of the one with all `tags`: `host`, or the one built last.

        The tags of `host` are `trove`, `host` and the datastore managers that it has packages for; those of others are `trove`,
        their name, their manager and their version. Raises `NotFound`.
        """
        there = self.images.all()
        if image_id is not None and image_id in {HOST_IMAGE, *(image.name for image in there)}:
            return image_id
        if image_id is None and tags:
            if {COMMON_TAG, HOST_IMAGE, *self._settings.packages}.issuperset(tags):
                return HOST_IMAGE
            fitting = [image for image in there if _tags(image).issuperset(tags)]
            if fitting:
                return max(fitting, key=lambda image: image.built_at).name
        raise NotFound(self._unknown(image_id or ", ".join(tags)))

    def find(self, manager: str, image_id: str | None) -> Engine:
        """Return the engine that an image has for a manager; None is `host`. Raises `CloudError` when there is none."""
        if image_id in {None, HOST_IMAGE}:
            return host_engine(self._settings.packages, manager)
        assert image_id is not None
        try:
            image = self.images.get(image_id)
        except NotFound:
            raise CloudError(self._unknown(image_id)) from None
        if not self._sandboxed():
            raise CloudError(f"Image {image_id} needs bubblewrap, which does not work here, or sandbox=process forbids it.")
        return Engine(manager=manager, version=image.version, image_id=image_id, root=image.root)

    def usable_images(self) -> tuple[Image, ...]:
        """Return the images that servers can be made of here."""
        there = self.images.all()
        return there if there and self._sandboxed() else ()

    def note_use(self, engine: Engine) -> None:
        """Keep an image, whose server is made, from being removed. Raises `CloudError` when it was removed just before."""
        if engine.root is not None:
            self.images.note_use(engine.image_id, self._settings.state_dir)
            check_built(engine.image_id, engine.root)

    def warm(self, engine: Engine) -> Path | None:
        """Make the template of an engine now, and return it; None when templates are off. Raises `CloudError`."""
        return self._templates().ensure(engine.template_name, engine.manager, engine.root) if self._settings.templates else None

    def template(self, engine: Engine) -> Path | None:
        """Return the template; without one a server still starts, only later, so a failure is told in the log."""
        try:
            return self.warm(engine)
        except CloudError as error:
            LOG.warning("going on without a template: %s", error)
            return None

    def _unknown(self, wanted: str) -> str:
        known = ", ".join((HOST_IMAGE, *(image.name for image in self.images.all())))
        hint = f" Build it with: trove-local image build {wanted}" if wanted in RECIPES else ""
        return f"Image {wanted!r} cannot be found; the local cloud has: {known}.{hint}"


def check_built(image_id: str, root: Path) -> None:
    """Raise `CloudError` when an image that a server is made of is not there."""
    if not root.is_dir():
        raise CloudError(f"Image {image_id} is not built here any more; build it with: trove-local image build {image_id}")


def host_engine(packages: Mapping[str, HostPackages], manager: str) -> Engine:
    """Return what this machine's own packages have for a manager; raises `CloudError` saying how to install it."""
    return Engine(manager=manager, version=told_version(find_server(packages, manager)), image_id=HOST_IMAGE)


def _tags(image: Image) -> frozenset[str]:
    return frozenset({COMMON_TAG, image.name, image.manager, image.version})
