"""`trove-local down` and `reset`: everything stops in bounded time, whatever state it was in."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from trove.cmd.local import console, fleet, services, statedb
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.locking import exclusive
from trove.cmd.local.services import BUS, CONDUCTOR


def down(layout: Layout, *, timeout_s: float) -> bool:
    """Stop databases cleanly and then the services; data stays. May run twice.

    Each stage gets up to `timeout_s` seconds and is killed then; returns False when a database server had to be, or an instance
    could not be stopped.
    """
    with exclusive(layout, "down"):
        clean = _down(layout, timeout_s=timeout_s)
    console.say("stopped; data stays" if clean else "stopped, but not all databases cleanly")
    return clean


def _down(layout: Layout, *, timeout_s: float) -> bool:
    services.stop_supervisor(layout)
    # First who could start something new, then the databases, then who hears their last reports.
    _stop(layout, tuple(name for name in services.names(layout) if name not in {CONDUCTOR, BUS}), timeout_s)
    fleet.stop_warming(layout)
    failed: Mapping[str, str] = {}
    if layout.conf.exists():
        fleet.cool(layout)
        failed = _stop_instances(layout, timeout_s)
    _stop(layout, (CONDUCTOR,), timeout_s)
    _stop(layout, (BUS,), timeout_s)
    return not failed


def _stop_instances(layout: Layout, timeout_s: float) -> Mapping[str, str]:
    alive = fleet.servers(layout)
    if not alive:
        return {}
    console.say(f"stopping {len(alive)} database server{'s' if len(alive) > 1 else ''}")
    failed = fleet.stop_all(layout, timeout_s=timeout_s)
    for instance_id, error in failed.items():
        console.complain(f"instance {instance_id}: {error}")
    return failed


def _stop(layout: Layout, names: tuple[str, ...], timeout_s: float) -> None:
    for name in services.stop_services(layout, names, grace_s=timeout_s):
        console.say(f"{name} did not end within {timeout_s:g} s and was killed")


def reset(layout: Layout) -> None:
    """Stop and remove everything: instances, volumes, mounts, an external state database's tables, files.

    Raises `StackError` naming what could not be removed. May run twice.
    """
    with exclusive(layout, "reset"):
        _down(layout, timeout_s=10.0)
        problems = fleet.destroy_all(layout) if layout.conf.exists() else []
        for left in statedb.drop_external(layout):
            # It may never have been there, or be gone for good: that must not keep the rest from being removed.
            console.complain(f"warning: not removed: {left}")
        for mount in mounts_below(layout.root):
            done = subprocess.run(["umount", "-l", mount], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                problems.append(f"cannot unmount {mount}: {done.stderr.strip()}")
        if not problems:
            _remove(layout, problems)
    if problems:
        raise StackError("not everything was removed:\n  " + "\n  ".join(problems))
    console.say(f"removed {layout.root}")


def _remove(layout: Layout, problems: list[str]) -> None:
    # The marker goes last, so that a reset that was interrupted can be repeated.
    for entry in sorted(layout.root.iterdir(), key=lambda path: path == layout.settings):
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        except OSError as error:
            problems.append(f"cannot remove {error.filename or entry}: {error.strerror}")
            return
    try:
        layout.root.rmdir()
    except OSError as error:
        console.say(f"{layout.root} is empty but stays: {error.strerror}")


def mounts_below(root: Path) -> tuple[str, ...]:
    """Return the mount points below `root`, the deepest first."""
    prefix = os.fspath(root.resolve()) + "/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(prefix):
            found.append(point)
    return tuple(sorted(found, key=len, reverse=True))
