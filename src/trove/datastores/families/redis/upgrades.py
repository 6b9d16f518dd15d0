"""The facet Upgrades: a newer server reads the data of an older one; a copy of them is the way back."""

import re
from collections.abc import Callable, Sequence

from trove.core.errors import GuestError
from trove.datastores.contract import Host

BEFORE = "data.before"
_DISCARDED = "data.discarded"
_COPYING = "data.copying"


def check(host: Host, known: Sequence[str], running: str | None, version: str) -> None:
    """Raise `GuestError` saying what stands in the way of an upgrade to `version`. `known` are beginnings of versions."""
    if not any(version == each or version.startswith(f"{each}.") for each in known):
        raise GuestError(f"An upgrade to {version} is not known to work; those to {', '.join(known)} are.")
    if running is None:
        raise GuestError("The database server does not answer, so it is unknown what its data are like.")
    if _number(version) < _number(running)[: len(_number(version))]:
        raise GuestError(f"The server runs {running}; its data cannot be read by {version}, which is older.")
    usage = host.usage()
    if usage.total - usage.used < usage.used:
        raise GuestError(
            f"The upgrade keeps a copy of the data until it is done: {usage.used} bytes must be free on the volume, "
            f"and {usage.total - usage.used} are."
        )


def keep(host: Host, progress: Callable[[str, int], None]) -> None:
    """Keep a copy of the data directory, unless one is kept. The server must be stopped."""
    if (host.data_dir / BEFORE).exists():
        return
    progress("keeping a copy of the data", 10)
    host.remove_tree(host.data_dir / _COPYING)
    host.copy_tree(host.data_dir / "data", host.data_dir / _COPYING)
    host.sync_tree(host.data_dir)
    host.move(host.data_dir / _COPYING, host.data_dir / BEFORE)
    host.sync_tree(host.data_dir)


def put_back(host: Host) -> None:
    """Put the copy in the place of the data directory; without a copy nothing. The server must be stopped."""
    if (host.data_dir / BEFORE).exists():
        if (host.data_dir / "data").exists():
            host.remove_tree(host.data_dir / _DISCARDED)
            host.move(host.data_dir / "data", host.data_dir / _DISCARDED)
        host.move(host.data_dir / BEFORE, host.data_dir / "data")
        host.sync_tree(host.data_dir)
    for name in (_DISCARDED, _COPYING):
        host.remove_tree(host.data_dir / name)


def drop(host: Host) -> None:
    """Remove the copy."""
    host.remove_tree(host.data_dir / BEFORE)


def need_version(running: str | None, version: str) -> None:
    """Raise `GuestError` unless this version of the server runs."""
    if running is None or _number(running)[: len(_number(version))] != _number(version):
        raise GuestError(f"The server that runs is {running}, not {version}.")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", version)[:2])
