"""What each image is made of: Debian packages, and the suites that they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

from trove.core.errors import NotFound

BASE = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "findutils",
    "grep",
    "hostname",
    "libc-bin",
    "sed",
    "tar",
    "tzdata",
    "zstd",
)
"""What is in every image, for the scripts that come with database servers."""

TRIXIE, BOOKWORM, SID = "trixie", "bookworm", "sid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image to build. `program` is the server in it; what that tells as its version must begin with `version`.

    Of a package that several of the `suites` have, the newest is taken.
    """

    name: str
    manager: str
    version: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    program: str


def _postgresql(version: str, suites: tuple[str, ...], older: tuple[str, ...]) -> Recipe:
    """Return a recipe of PostgreSQL with the `older` servers in it, which pg_upgrade runs on the data it upgrades."""
    return Recipe(
        name=f"postgresql-{version}",
        manager="postgresql",
        version=version,
        suites=suites,
        packages=tuple(f"postgresql-{each}" for each in (version, *older)),
        program=f"/usr/lib/postgresql/{version}/bin/postgres",
    )


_ALL = (
    Recipe(
        name="mariadb-11.8",
        manager="mariadb",
        version="11.8",
        suites=(TRIXIE,),
        # The scripts of Galera's state transfer are in mariadb-server; they call socat, and ss of iproute2.
        packages=("mariadb-server", "mariadb-client-core", "mariadb-backup", "galera-4", "socat", "iproute2"),
        program="/usr/sbin/mariadbd",
    ),
    Recipe(
        name="mysql-9.7",
        manager="mysql",
        version="9.7",
        suites=(SID,),
        packages=("mysql-server-core", "mysql-client-core"),
        program="/usr/sbin/mysqld",
    ),
    _postgresql("17", (TRIXIE, BOOKWORM), ("15",)),
    _postgresql("18", (SID, TRIXIE, BOOKWORM), ("17", "15")),
    Recipe(
        name="redis-8.0",
        manager="redis",
        version="8.0",
        suites=(TRIXIE,),
        packages=("redis-server", "redis-tools"),
        program="/usr/bin/redis-server",
    ),
    Recipe(
        name="valkey-8.1",
        manager="valkey",
        version="8.1",
        suites=(TRIXIE,),
        packages=("valkey-server", "valkey-tools"),
        program="/usr/bin/valkey-server",
    ),
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of an image; raises `NotFound` telling the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise NotFound(f"There is no image {name!r} to build; there are: {', '.join(RECIPES)}.") from None
