"""Programs that a build runs, and what must be there for them."""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from contrib.image.imaging.problems import BuildError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

TREE = {
    "mmdebstrap": "mmdebstrap",
    "sudo": "sudo",
    "mkfs.ext4": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "losetup": "mount",
    "fstrim": "util-linux",
}
"""Programs that every form needs, and Debian's packages of them. diskimage-builder calls sudo for root, too."""
BOOTABLE = {
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
}
"""Programs that only the bootable form needs."""


def need_programs(programs: dict[str, str], files: Iterable[tuple[Path, str]] = ()) -> None:
    """Raise `BuildError` naming what is missing and the command that installs it."""
    missing = {package: program for program, package in programs.items() if shutil.which(program, path=PATH) is None}
    missing |= {package: str(file) for file, package in files if not file.is_file()}
    if missing:
        raise BuildError(
            f"these are missing: {', '.join(sorted(missing.values()))}. Install them with: "
            f"apt-get install {' '.join(sorted(missing))}"
        )


def must(line: Sequence[str | Path], what: str, *, text: str | None = None) -> str:
    """Run a program and return what it prints; raises `BuildError` with its last words."""
    words = [str(word) for word in line]
    try:
        done = subprocess.run(
            words,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": PATH, "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"},
        )
    except OSError as error:
        raise BuildError(f"cannot {what}: {error}") from error
    if done.returncode:
        raise BuildError(f"cannot {what}: {(done.stderr or done.stdout).strip()[-600:] or f'exit code {done.returncode}'}")
    return done.stdout
