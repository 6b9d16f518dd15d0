"""The images that are built: found, listed and removed.

An image is a directory `<images>/<name>/` with `rootfs/` and `image.json`; it appears whole, and never changes. What is being
built or removed has a name that begins with a dot.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from trove.cloud.local.locking import locked
from trove.cloud.local.records import read_record, remove_tree
from trove.core.errors import CloudError, NotFound

LOG = logging.getLogger(__name__)

BUILD_TIMEOUT_S = 1800.0
"""How long somebody waits for another who builds or removes images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is built. `version` is what its server tells of itself; `packages` are Debian's, with their versions."""

    name: str
    manager: str
    version: str
    built_at: str
    bytes: int
    root: Path
    packages: Mapping[str, str] = field(default_factory=dict, repr=False)


class Images:
    """The images in one directory, which several stacks may share."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = default_directory() if directory is None else directory

    def all(self) -> tuple[Image, ...]:
        """Return all images by name; one that is damaged is told in the log and left out."""
        found = []
        with suppress(FileNotFoundError):
            for path in sorted(self.directory.iterdir()):
                if not path.name.startswith("."):
                    try:
                        found.append(self.get(path.name))
                    except (NotFound, CloudError) as error:
                        LOG.warning("%s", error)
        return tuple(found)

    def get(self, name: str) -> Image:
        """Return an image; raises `NotFound`, and `CloudError` when it is damaged."""
        place = self.directory / name
        known = "/" not in name and not name.startswith(".")
        record = read_record(place / "image.json") if known else None
        if record is None:
            raise NotFound(f"Image {name!r} is not built here, in {self.directory}.")
        try:
            return Image(**record, root=place / "rootfs")
        except TypeError as error:
            raise CloudError(f"{place / 'image.json'} is damaged: {error}") from error

    def note_use(self, name: str, state_dir: Path) -> None:
        """Note that the stack in `state_dir` has servers of an image, so that it is not removed. May run twice."""
        mark = self.directory / name / "used-by" / sha256(os.fsencode(state_dir)).hexdigest()[:16]
        if mark.exists():
            return
        try:
            mark.parent.mkdir(exist_ok=True)
            for other in mark.parent.iterdir():
                if not Path(other.read_text()).is_dir():
                    other.unlink(missing_ok=True)
            mark.write_text(str(state_dir))
        except OSError as error:
            LOG.warning("the use of image %s cannot be noted: %s", name, error)

    def _check_unused(self, name: str, folder: str) -> None:
        """Raise `CloudError` naming the instances, of all stacks, whose servers are made of an image."""
        found = []
        for mark in (self.directory / folder / "used-by").glob("*"):
            for place in Path(mark.read_text()).glob("servers/*/server.json"):
                with suppress(OSError, ValueError, KeyError):
                    if json.loads(place.read_bytes())["image_id"] == name:
                        found.append(place.parent.name)
        if found:
            raise CloudError(f"Image {name} is used by {_instances(sorted(found))}; delete or upgrade them first.")

    def remove(self, name: str) -> None:
        """Remove an image. Raises `NotFound`, and `CloudError` while instances use it."""
        self.get(name)
        with self.held():
            self._check_unused(name, name)
            doomed = self.directory / f".{name}.removed"
            remove_tree(doomed)
            (self.directory / name).rename(doomed)
            try:
                self._check_unused(name, doomed.name)  # a server may have been made just before
            except CloudError:
                doomed.rename(self.directory / name)
                raise
            remove_tree(doomed)

    def held(self) -> AbstractContextManager[None]:
        """Hold the directory, made where it is missing, against all others who build or remove images."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        return locked(self.directory / ".lock", timeout_s=BUILD_TIMEOUT_S)

    def write(self, image: Image) -> None:
        """Write the record of an image that is being built beside its root."""
        record = asdict(image)
        del record["root"]
        (image.root.parent / "image.json").write_text(json.dumps(record, indent=1))


def default_directory() -> Path:
    """Return where images are: `$TROVE_IMAGES`, else a place of the machine for root, and one of his own for another user."""
    if os.environ.get("TROVE_IMAGES"):
        return Path(os.environ["TROVE_IMAGES"]).absolute()
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  a user without a home is no error
    return Path(own, "trove/images") if os.geteuid() != 0 and own.startswith("/") else Path("/var/cache/trove/images")


def _instances(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"instance{'s' if len(ids) > 1 else ''} {', '.join(ids[:3])}{more}"
