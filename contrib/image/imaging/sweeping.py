"""Takes away what a build has left, however it ended: programs, mounts, loop devices, files."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from contrib.image.imaging.commands import must
from contrib.image.imaging.problems import BuildError

_GRACE_S = 60.0


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """End a program that leads a session, with all that it started."""
    for each in (number, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def mounts_below(folder: Path, mountinfo: str) -> list[Path]:
    """Return what is mounted below a directory, the innermost first."""
    found = [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in mountinfo.splitlines()]
    return [path for path in reversed(found) if path.is_relative_to(folder)]


def sweep(work: Path) -> None:
    """Remove a directory with all that is mounted in it or that loop devices have of it. Raises `BuildError`."""
    work = work.resolve()
    for path in mounts_below(work, Path("/proc/self/mountinfo").read_text()):
        must(["umount", "--lazy", path], f"unmount {path}")
    for device in json.loads(must(["losetup", "--list", "--json"], "list loop devices") or "{}").get("loopdevices", []):
        if Path(device["back-file"].removesuffix(" (deleted)")).is_relative_to(work):
            must(["losetup", "--detach", device["name"]], f"detach {device['name']}")
    # Where something is mounted still, its content is somebody else's.
    if mounts_below(work, Path("/proc/self/mountinfo").read_text()):
        raise BuildError(f"{work} cannot be removed: something is still mounted in it")
    shutil.rmtree(work, ignore_errors=True)
