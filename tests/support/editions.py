"""The servers that the conformance suite runs on: engines in versions, from the host's own packages or from images."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trove.datastores import registry
from trove.datastores.contract import Facet, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A version of an engine. `image` is None for the host's own packages.

    `stand_in` says whose server it runs on, if that is not the engine's own. `unproven` are facets that cannot be proven with
    what can be had, so that the suite leaves them out. `twin` names an engine whose server and driver are nearly the same.
    """

    manager: str
    version: str
    image: str | None = None
    stand_in: str | None = None
    unproven: frozenset[Facet] = frozenset()
    twin: str | None = None

    def __str__(self) -> str:
        return f"{self.manager}-{self.version}"

    @property
    def spec(self) -> Spec:
        return registry.spec(self.manager)

    @property
    def root_dir(self) -> Path | None:
        """Return the root of its image; fails with the command that builds it."""
        if self.image is None:
            return None
        folder = images() / self.image
        assert (folder / "image.json").is_file(), f"there is no {folder}; build it: trove-local image build {self.image}"
        return folder / "rootfs"


_WANTED = (
    Edition(manager="mariadb", version="10.11"),
    Edition(manager="mariadb", version="11.8", image="mariadb-11.8"),
    Edition(manager="mysql", version="9.7", image="mysql-9.7"),
    Edition(manager="percona", version="9.7", image="mysql-9.7", stand_in="MySQL 9.7", unproven=frozenset({Facet.BACKUPS})),
    Edition(manager="postgresql", version="15"),
    Edition(manager="postgresql", version="17", image="postgresql-17"),
    # Debian's 18 is of an earlier month than its 15 and 17, whose dumps it does not understand: the check says so.
    Edition(manager="postgresql", version="18", image="postgresql-18", unproven=frozenset({Facet.UPGRADES})),
    Edition(manager="redis", version="7.0"),
    Edition(manager="redis", version="8.0", image="redis-8.0"),
    Edition(manager="valkey", version="8.1", image="valkey-8.1", twin="redis"),
)

ALL = tuple(each for each in _WANTED if each.manager in registry.managers())
"""Of each engine the default first, then later versions in order."""
DEFAULTS = tuple(
    each
    for number, each in enumerate(ALL)
    if each.manager not in {before.manager for before in ALL[:number]} and each.stand_in is None
)
"""What the whole suite runs on. Those on the server of another engine would tell the same twice."""


def with_facets(*facets: Facet, everyone: bool = False) -> tuple[Edition, ...]:
    """Return the default editions, or all of them, whose engines have these facets."""
    return tuple(each for each in (ALL if everyone else DEFAULTS) if set(facets) <= each.spec.facets - each.unproven)


def newer(edition: Edition) -> tuple[Edition, ...]:
    """Return the later editions of the same engine that can take its data."""
    return tuple(each for each in _later(edition) if not _refuses(each, edition))


def refusing(edition: Edition) -> tuple[Edition, ...]:
    """Return the later editions of the same engine that cannot take its data, because they are older releases."""
    return tuple(each for each in _later(edition) if _refuses(each, edition))


def _later(edition: Edition) -> tuple[Edition, ...]:
    same = [each for each in ALL if each.manager == edition.manager]
    return tuple(same[same.index(edition) + 1 :])


def _refuses(new: Edition, old: Edition) -> bool:
    """Tell whether a server does not know how releases of PostgreSQL since November 2026 mark columns, and the old one does."""
    return old.manager == "postgresql" and _marks_columns(old) and not _marks_columns(new)


@cache
def _marks_columns(edition: Edition) -> bool:
    program = Path(edition.root_dir or "/", f"usr/lib/postgresql/{edition.version}/bin/postgres")
    return program.exists() and b"pg_attver" in program.read_bytes()


def images() -> Path:
    """Return the directory with the images."""
    if "TROVE_IMAGES" in os.environ:
        return Path(os.environ["TROVE_IMAGES"])
    if os.geteuid() == 0:
        return Path("/var/cache/trove/images")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "trove/images")
