"""Runs diskimage-builder over our elements."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contrib.image.imaging import sweeping
from contrib.image.imaging.commands import PATH
from contrib.image.imaging.editions import Edition
from contrib.image.imaging.problems import BuildError
from contrib.image.imaging.wheels import SOURCE

from trove.cloud.local.images.debian import own_mirrors
from trove.core.errors import CloudError

ELEMENTS = SOURCE / "contrib/image/elements"
LABEL = "trove-root"
MARK = "trove-image: "
_ENGINE = "engine version "
_TAIL = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Where Debian's packages come from. `security` is None where the mirror has all."""

    debian: str
    security: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What diskimage-builder made. `used` is what the root holds in bytes; `engine` the version that the server tells."""

    root: Path
    kernel: Path
    initrd: Path
    used: int
    engine: str
    packages: dict[str, str]


def mirrors_of(debian: str | None, security: str | None) -> Mirrors:
    """Return the mirrors that were named, else those of this machine's own packages; raises `BuildError`."""
    if debian is not None:
        return Mirrors(debian=debian, security=security)
    try:
        own, own_security = own_mirrors("apt-get")
    except CloudError as error:
        raise BuildError(error.message) from error
    return Mirrors(debian=own, security=security or own_security)


def find_builder() -> str:
    """Return the path of diskimage-builder's program; raises `BuildError`."""
    beside = Path(sys.executable).parent / "disk-image-create"
    found = str(beside) if beside.is_file() else shutil.which("disk-image-create")
    if found is None:
        raise BuildError("diskimage-builder is missing. Install it with: pip install 'trove[image]'")
    return found


def _interpreter(builder: str) -> str:
    """Return the Python that diskimage-builder is installed for, which may be another one than ours."""
    with Path(builder).open() as file:
        return file.readline().strip().removeprefix("#!")


def make_tree(edition: Edition, work: Path, *, size_mib: int, mirrors: Mirrors, log: Path, say: Callable[[str], None]) -> Tree:
    """Build the root file system of an edition in `work`, an empty directory; raises `BuildError`."""
    boot, temporary = work / "boot", work / "tmp"
    for folder in (boot, temporary):
        folder.mkdir()
    builder = find_builder()
    told = {
        "TROVE_SUITES": " ".join(edition.suites),
        "TROVE_VERSION": edition.version,
        "TROVE_MANAGER": edition.manager,
        "TROVE_MIRROR": mirrors.debian,
        "TROVE_SECURITY_MIRROR": mirrors.security or "",
        "TROVE_SOURCE": str(SOURCE),
        "TROVE_FILES": str(ELEMENTS / "trove-guest/files"),
        "TROVE_BOOT": str(boot),
        "TROVE_PYTHON": sys.executable,
    }
    own = {
        "PATH": f"{Path(builder).parent}:{PATH}",
        "HOME": str(work),
        "LC_ALL": "C.UTF-8",
        "ELEMENTS_PATH": str(ELEMENTS),
        "TMP_DIR": str(temporary),
        "TMPDIR": str(temporary),
        "DIB_NO_TMPFS": "1",
        "DIB_NO_TIMESTAMP": "1",
        "DIB_JOURNAL_SIZE": "16",
        "DIB_RELEASE": edition.suites[0],
        "DIB_PYTHON_EXEC": _interpreter(builder),
    }
    passed = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name.startswith("PIP_")}
    line = [
        builder,
        "-n",
        "-t",
        "raw",
        "-o",
        str(work / "root"),
        "--root-label",
        LABEL,
        "--image-size",
        f"{size_mib / 1024:.3f}",
    ]
    line += ["--mkfs-options", "-i 16384 -m 1 -E lazy_itable_init=0,lazy_journal_init=0", edition.element]
    engine = _run(line, {**passed, **own, **told}, work, log, say)
    packages = dict(line.split(" ", 1) for line in (boot / "packages").read_text().splitlines())
    return Tree(
        root=work / "root.raw",
        kernel=boot / "vmlinuz",
        initrd=boot / "initrd",
        used=int((boot / "used").read_text()),
        engine=engine,
        packages=packages,
    )


def _run(line: list[str], environ: dict[str, str], work: Path, log: Path, say: Callable[[str], None]) -> str:
    """Run the builder and tell what it comes to; return the version of the engine that it found."""
    engine, tail = "", []
    with (
        log.open("w") as written,
        subprocess.Popen(
            line,
            env=environ,
            cwd=work,
            text=True,
            errors="replace",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for text in process.stdout:
                written.write(text)
                tail = [*tail[-_TAIL:], text]
                _, mark, words = text.partition(MARK)
                if mark and not text.startswith("+") and "echo" not in text:
                    engine = words.removeprefix(_ENGINE).strip() if words.startswith(_ENGINE) else engine
                    say(words.strip())
        except BaseException:
            # Its own traps unmount what it has mounted; what they miss is swept up later.
            sweeping.end(process, signal.SIGTERM)
            raise
    if process.returncode or not engine:
        raise BuildError(
            f"diskimage-builder failed (exit code {process.returncode}); all it said is in {log}, and at last:\n"
            + "".join(tail)
        )
    return engine
