"""Making an ext4 file system larger that lives in a file: while it is mounted where the machine allows that, else unmounted."""

import os
from contextlib import suppress
from pathlib import Path

from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.mounts import is_mounted
from trove.cloud.local.records import make_directory, remove_tree
from trove.core.errors import CloudError, Unavailable
from trove.core.units import MIB

CHECK_TIMEOUT_S = 240.0
RESIZE_TIMEOUT_S = 240.0

_CLEAN = frozenset({0, 1})
"""What e2fsck ends with when the file system is good: 1 when it mended something."""


def grow_mounted(image: Path) -> None:
    """Let a mounted file system fill its file, which was made larger. May run twice. Raises `CloudError`."""
    device = _loop_device(image)
    if device is None:
        raise CloudError(f"{image} is mounted by no loop device that this machine knows of")
    must([need_program("losetup", "mount"), "--set-capacity", device], "tell the loop device its new size")
    must([need_program("resize2fs", "e2fsprogs"), device], "grow the mounted file system", timeout_s=RESIZE_TIMEOUT_S)


def grow_unmounted(image: Path) -> None:
    """Let a file system that nobody has mounted fill its file, which was made larger; it is checked first. May run twice.

    Raises `CloudError`; `Unavailable` while somebody still has it mounted, perhaps out of our sight.
    """
    device = _loop_device(image)
    if device is not None:
        raise Unavailable(f"{image} is still in use by {device}.")
    code, words = run([need_program("e2fsck", "e2fsprogs"), "-f", "-p", str(image)], timeout_s=CHECK_TIMEOUT_S)
    if code not in _CLEAN:
        raise CloudError(f"Cannot check the file system before it grows: {words.strip()[-400:] or f'exit code {code}'}")
    must([need_program("resize2fs", "e2fsprogs"), str(image)], "grow the file system", timeout_s=RESIZE_TIMEOUT_S)


def grows_mounted(directory: Path) -> bool:
    """Tell whether a mounted file system can grow below `directory`, by trying: some machines forbid it even to root."""
    home = directory / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
    image, mount = home / "probe.img", home / "mount"
    try:
        make_directory(home)
        make_directory(mount)
        with image.open("xb") as file:
            file.truncate(8 * MIB)
        must([need_program("mkfs.ext4", "e2fsprogs"), "-q", "-F", str(image)], "make a file system")
        must([need_program("mount", "mount"), "-t", "ext4", "-o", "loop", str(image), str(mount)], "mount the probe")
        os.truncate(image, 16 * MIB)
        grow_mounted(image)
    except (CloudError, OSError):
        return False
    finally:
        if is_mounted(mount):
            run([need_program("umount", "mount"), str(mount)])
        with suppress(CloudError):
            if is_mounted(mount):
                must([need_program("umount", "mount"), "--lazy", str(mount)], "unmount the probe")
        remove_tree(home)
    return True


def _loop_device(image: Path) -> str | None:
    """Return the loop device that stands for a file, in whatever mount namespace it is mounted; None when there is none."""
    losetup = need_program("losetup", "mount")
    words = must([losetup, "--associated", str(image), "--noheadings", "--output", "NAME"], "look for loop devices").split()
    return words[0] if words else None
