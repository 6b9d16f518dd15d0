"""Images for tests: small ones made by hand, which no program comes from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.clouds import state_directory

from trove.cloud.local.images.catalogue import Image, Images


@contextmanager
def images_directory(*names: str) -> Iterator[Images]:
    """Make a directory with images of the manager `fake`, which everybody may read and note the use of."""
    with state_directory("ti-") as folder:
        images = Images(folder)
        for name in names:
            root = folder / name / "rootfs"
            root.mkdir(parents=True)
            version = name.rpartition("-")[2]
            images.write(Image(name=name, manager="fake", version=version, built_at=f"2026-01-0{version}", bytes=1, root=root))
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                path.chmod(0o777)
        yield images
