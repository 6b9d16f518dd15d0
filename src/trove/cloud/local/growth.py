"""Making an ext4 file system larger that lives in a file: while it is mounted where the machine allows that, else unmounted.

The programs that do it hold a lock beside the file, so that when we die they end their work alone, and nobody comes between.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.locking import is_locked
from trove.cloud.local.probes import probe_directory
from trove.core.errors import CloudError, Unavailable
from trove.core.units import MIB

CHECK_TIMEOUT_S = 240.0
RESIZE_TIMEOUT_S = 240.0

_LOCKED = 75

_CLEAN = frozenset({0, 1})
"""What e2fsck ends with when the file system is good: 1 when it mended something."""


def grow_mounted(image: Path) -> None:
    """Let a mounted file system fill its file, which was made larger. May run twice. Raises `CloudError`."""
    device = _loop_device(image)
    if device is None:
        raise CloudError(f"{image} is mounted by no loop device that this machine knows of")
    must([need_program("losetup", "mount"), "--set-capacity", device], "tell the loop device its new size")
    code, words = _run_alone(image, [need_program("resize2fs", "e2fsprogs"), device], timeout_s=RESIZE_TIMEOUT_S)
    if code != 0:
        raise CloudError(f"Cannot grow the mounted file system: {words.strip()[-400:] or f'exit code {code}'}")


def grow_unmounted(image: Path) -> None:
    """Let a file system that nobody has mounted fill its file, which was made larger; it is checked first. May run twice.

    Raises `CloudError`; `Unavailable` while somebody still has it mounted, perhaps out of our sight.
    """
    device = _loop_device(image)
    if device is not None:
        raise Unavailable(f"{image} is still in use by {device}.")
    code, words = _run_alone(image, [need_program("e2fsck", "e2fsprogs"), "-f", "-p", str(image)], timeout_s=CHECK_TIMEOUT_S)
    if code not in _CLEAN:
        raise CloudError(f"Cannot check the file system before it grows: {words.strip()[-400:] or f'exit code {code}'}")
    code, words = _run_alone(image, [need_program("resize2fs", "e2fsprogs"), str(image)], timeout_s=RESIZE_TIMEOUT_S)
    if code != 0:
        raise CloudError(f"Cannot grow the file system: {words.strip()[-400:] or f'exit code {code}'}")


def check_not_growing(image: Path) -> None:
    """Raise `Unavailable` while a program works on the file system, perhaps one whose caller has died."""
    if is_locked(_lock_of(image)):
        raise Unavailable(f"{image} is just being grown.")


def grows_mounted(directory: Path) -> bool:
    """Tell whether a mounted file system can grow below `directory`, by trying: some machines forbid it even to root."""
    try:
        with probe_directory(directory) as home:
            image, mount = home / "probe.img", home / "mount"
            with image.open("xb") as file:
                file.truncate(8 * MIB)
            must([need_program("mkfs.ext4", "e2fsprogs"), "-q", "-F", str(image)], "make a file system")
            must([need_program("mount", "mount"), "-t", "ext4", "-o", "loop", str(image), str(mount)], "mount the probe")
            os.truncate(image, 16 * MIB)
            grow_mounted(image)
    except (CloudError, OSError):
        return False
    return True


def _lock_of(image: Path) -> Path:
    return image.with_name("growing.lock")


def _run_alone(image: Path, argv: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
    """Run a program that holds the lock for as long as it lives; raises `Unavailable` when another one does."""
    flock = need_program("flock", "util-linux")
    hold = [flock, "--no-fork", "--nonblock", "--conflict-exit-code", str(_LOCKED), str(_lock_of(image))]
    code, words = run([*hold, *argv], timeout_s=timeout_s)
    if code == _LOCKED:
        raise Unavailable(f"{image} is just being grown.")
    return code, words


def _loop_device(image: Path) -> str | None:
    """Return the loop device that stands for a file, in whatever mount namespace it is mounted; None when there is none."""
    losetup = need_program("losetup", "mount")
    words = must([losetup, "--associated", str(image), "--noheadings", "--output", "NAME"], "look for loop devices").split()
    return words[0] if words else None
