"""`trove-local logs`: the end of the log files of services and instances, and what is added to them."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.services import names


def find_logs(layout: Layout, what: str | None, instances: Callable[[str], Sequence[Path]]) -> tuple[Path, ...]:
    """Return the log files of a service, of an instance (found by `instances`), or of all services when `what` is None.

    Raises `StackError` when there are none.
    """
    known = ("supervisor", *names(layout))
    if what is None:
        found = [layout.log_of(name) for name in known]
    elif what in known:
        found = [layout.log_of(what)]
    else:
        found = list(instances(what))
        if not found:
            raise StackError(f"`{what}` is neither a service ({', '.join(known)}) nor the name or id of an instance with logs")
    present = tuple(path for path in found if path.exists())
    if not present:
        raise StackError("there is no log yet; run `trove-local up`")
    return present


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a file, reading no more than its last 256 KiB."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 256 * 1024))
        text = file.read().decode(errors="replace")
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


def show(paths: Sequence[Path], *, lines: int, follow: bool, keep_on: Callable[[], bool] = lambda: True) -> None:
    """Print the ends of files, and with `follow` what is added, until interrupted or `keep_on` says no."""
    offsets = {path: path.stat().st_size for path in paths}
    last: Path | None = None
    for path in paths:
        last = _print(path, tail(path, lines), last, many=len(paths) > 1)
    while follow and keep_on():
        for path in paths:
            text, offsets[path] = _added(path, offsets[path])
            last = _print(path, text, last, many=len(paths) > 1)
        time.sleep(0.2)


def _added(path: Path, offset: int) -> tuple[str, int]:
    try:
        size = path.stat().st_size
        if size == offset:
            return "", offset
        with path.open("rb") as file:
            file.seek(offset if size > offset else 0)
            added = file.read()
            return added.decode(errors="replace"), file.tell()
    except FileNotFoundError:
        return "", 0


def _print(path: Path, text: str, last: Path | None, *, many: bool) -> Path | None:
    if not text:
        return last
    if many and path != last:
        print(f"==> {path} <==")
    print(text, end="" if text.endswith("\n") else "\n")
    sys.stdout.flush()
    return path
