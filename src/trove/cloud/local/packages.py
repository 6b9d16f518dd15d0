"""The image `host`: the database servers that are installed on this machine."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from trove.cloud.local.commands import find_program, run
from trove.cloud.local.images.recipes import RECIPES
from trove.cloud.local.settings import HostPackages
from trove.core.errors import CloudError

HOST_IMAGE = "host"


def find_server(packages: Mapping[str, HostPackages], manager: str) -> str:
    """Return the path of the server program of a datastore manager; raises `CloudError` saying how to install it."""
    images = " or ".join(f"trove-local image build {each.name}" for each in RECIPES.values() if each.manager == manager)
    wanted = packages.get(manager)
    if wanted is None and images:
        raise CloudError(f"The local cloud runs {manager} from images only; build one with: {images}")
    if wanted is None:
        known = ", ".join(sorted(packages)) or "none"
        raise CloudError(f"The local cloud has no packages for the datastore manager {manager!r}; it knows: {known}")
    found = find_program(*_names(wanted))
    if found is None:
        name = Path(wanted.programs[0]).name
        raise CloudError(f"{name} is not installed on this machine; install it with: {wanted.install}")
    return found


def told_version(program: str) -> str:
    """Return the version that a server program tells of itself, such as `10.11.19`; `unknown` when it tells none."""
    return _told_version(program, Path(program).stat().st_mtime_ns)


@lru_cache
def _told_version(program: str, _changed: int) -> str:
    """Ask once for each change of the program's file: starting a server program takes a twentieth of a second."""
    _, output = run([program, "--version"])
    found = re.search(r"\d+(\.\d+)+", output)
    return found[0] if found else "unknown"


def _names(wanted: HostPackages) -> Iterator[str]:
    """Yield names and paths of programs; of paths that a pattern fits the one with the highest numbers first."""
    for name in wanted.programs:
        if "*" in name:
            found = (str(path) for path in Path("/").glob(name.lstrip("/")))
            yield from sorted(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path)], reverse=True)
        else:
            yield name
