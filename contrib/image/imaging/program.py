"""The command line of `contrib/image/build`."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from contrib.image.imaging import commands, disks, elements, records, sweeping, wheels
from contrib.image.imaging.editions import EDITIONS, find
from contrib.image.imaging.problems import BuildError

FORMS = ("bare", "qcow2")
DESCRIPTION = "Build an image of a guest: Debian, a database engine and Trove's agent."
EPILOG = f"""Versions there are: {", ".join(edition.name for edition in EDITIONS)}.
Forms: `bare` is a file system (disk.qcow2) with kernel and initrd beside it, `qcow2` a disk that boots by itself under BIOS and
UEFI (bootable.qcow2). DIR gets them with image.json, which `trove-manage datastore version register DIR` reads. Needs root,
some 4 GB of disk and a few minutes. Exit codes: 0 built, 1 failed (the reason is on standard error), 2 wrong usage."""
_MIB = 2**20
_LEAST_MIB = 512


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGHUP, _interrupted)
    try:
        if arguments.wheels is not None:
            wheels.gather(arguments.wheels, arguments.for_python)
            return 0
        if not (arguments.datastore and arguments.version and arguments.output):
            parser.error("--datastore, --version and --output are needed")
        if arguments.size < _LEAST_MIB:
            parser.error(f"--size must be at least {_LEAST_MIB}")
        build(arguments)
    except LookupError as error:
        parser.error(str(error.args[0]))
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build: interrupted; nothing of it is left", file=sys.stderr)
        return 1
    return 0


def build(arguments: argparse.Namespace) -> None:
    """Build the forms that are asked for. Nothing is left of a build that fails, but its log in the output directory."""
    began = time.monotonic()
    edition = find(arguments.datastore, arguments.version)
    forms = tuple(dict.fromkeys(arguments.form or FORMS[:1]))
    _check(forms)
    output: Path = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="trove-image-", dir=arguments.work))

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    try:
        mirrors = elements.mirrors_of(arguments.mirror, arguments.security_mirror)
        log = output / "build.log"
        say(f"{edition.name}: building with diskimage-builder (its words: {log})")
        tree = elements.make_tree(edition, work, size_mib=arguments.size, mirrors=mirrors, log=log, say=say)
        fresh = work / "made"
        fresh.mkdir()
        made = {}
        for form in forms:
            say(f"packing the form {form}")
            made[form] = disks.pack_bare(tree, fresh) if form == "bare" else disks.pack_bootable(tree, fresh, work)
        took = time.monotonic() - began
        what = records.Made(edition=edition, tree=tree, forms=made, root_bytes=tree.root.stat().st_size, seconds=took)
        record = records.write(fresh, what)
        for path in (*(path for paths in made.values() for path in paths), fresh / records.NAME):  # the record last
            shutil.move(path, output / path.name)
        files = [file for paths in record["forms"].values() for file in paths]
        say(f"{edition.name}: engine {tree.engine}, {len(tree.packages)} packages, {tree.used / _MIB:.0f} MiB in use")
        for file in files:
            print(f"  {output / file['name']}  {file['bytes'] / _MIB:.1f} MiB")
    finally:
        sweeping.sweep(work)


def _check(forms: Sequence[str]) -> None:
    if os.geteuid() != 0:
        raise BuildError("an image is built as root: its files belong to root, and its programs are run to configure them")
    commands.need_programs(commands.TREE)
    if "qcow2" in forms:
        commands.need_programs(commands.BOOTABLE, disks.LOADERS)
    elements.find_builder()


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("--datastore", help="mariadb, mysql, postgresql, redis or valkey")
    parser.add_argument("--version", help="version of the engine, such as 10.11")
    parser.add_argument("--form", action="append", choices=FORMS, help="may be repeated (default: bare)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory for the image; made where it is missing")
    parser.add_argument(
        "--size", type=int, default=1536, metavar="MIB", help="size of the root file system (default: %(default)s)"
    )
    parser.add_argument("--mirror", metavar="URL", help="of Debian (default: where this machine's own packages come from)")
    parser.add_argument(
        "--security-mirror", metavar="URL", help="of Debian's security archive (default: this machine's; with --mirror: none)"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to work (default: the system's temporary directory)")
    parser.add_argument("--wheels", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--for-python", default="3.11", help=argparse.SUPPRESS)
    return parser
