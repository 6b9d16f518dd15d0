"""Builds images: fetches Debian packages and unpacks them into a directory, which then gets its name.

No script of a package is run and nothing is installed, so neither root nor a chroot is needed, and nothing of this machine
changes. What such scripts would have made, and database servers need, is made here.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from trove.cloud.local.commands import SEARCH_PATH, need_program, run
from trove.cloud.local.images.catalogue import Image, Images
from trove.cloud.local.images.debian import Archive, Package
from trove.cloud.local.images.recipes import BASE, Recipe
from trove.cloud.local.records import remove_tree
from trove.core.errors import CloudError

Say = Callable[[str], None]

_MERGED = ("bin", "sbin", "lib", "lib64")
"""What are links into `/usr` since Debian 12."""

_LEFT_OUT = ("doc", "doc-base", "info", "lintian", "locale", "man", "bug", "bash-completion", "perl-openssl-defaults")
_EMPTY_FILES = ("passwd", "group")
_FILES = {
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "",
}
_VERSION = re.compile(r"\d+(\.\d+)+")


def build(images: Images, recipes: Sequence[Recipe], *, mirror: str | None, say: Say) -> None:
    """Build the images that are not there yet. What a build that was killed has left is removed first. Raises `CloudError`."""
    with images.held():
        for path in images.directory.iterdir():
            if path.name.startswith(".") and path.is_dir():
                remove_tree(path)
        wanted = [recipe for recipe in recipes if not (images.directory / recipe.name / "image.json").is_file()]
        for recipe in recipes:
            if recipe not in wanted:
                say(f"{recipe.name}: is there already")
        if not wanted:
            return
        work = images.directory / ".packages"
        try:
            work.mkdir()
            archive = Archive(work, mirror)
            for recipe in wanted:
                _build(images, recipe, archive, say)
        finally:
            remove_tree(work)


def _build(images: Images, recipe: Recipe, archive: Archive, say: Say) -> None:
    began = monotonic()
    target = images.directory / recipe.name
    fresh = images.directory / f".{recipe.name}.tmp"
    say(f"{recipe.name}: fetching packages of {', '.join(recipe.suites)}")
    packages = archive.fetch((*BASE, *recipe.packages), recipe.suites)
    fetched = monotonic()
    say(f"{recipe.name}: unpacking {len(packages)} packages")
    try:
        root = fresh / "rootfs"
        root.mkdir(parents=True)
        _unpack(packages, root)
        _complete(root)
        size = _settle(root)
        image = Image(
            name=recipe.name,
            manager=recipe.manager,
            version=_told_version(root, recipe),
            built_at=datetime.now(UTC).isoformat(timespec="seconds"),
            bytes=size,
            root=root,
            packages={package.name: package.version for package in packages},
        )
        fresh.chmod(0o755)
        images.write(image)
        remove_tree(target)  # what is there has no record
        subprocess.run([need_program("sync", "coreutils"), "--file-system", str(fresh)], check=False)
        fresh.rename(target)
    finally:
        remove_tree(fresh)
    done = monotonic()
    say(
        f"{recipe.name}: version {image.version}, {size / 1e6:.0f} MB, "
        f"fetched in {fetched - began:.0f} s, made in {done - fetched:.0f} s"
    )


def _unpack(packages: Iterable[Package], root: Path) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    unpack = [need_program("tar", "tar"), "--extract", "--directory", str(root), "--keep-directory-symlink", "--no-same-owner"]
    unpack += [f"--exclude=./usr/share/{name}/*" for name in _LEFT_OUT]
    read = need_program("dpkg-deb", "dpkg")
    for package in packages:
        with subprocess.Popen(
            [read, "--fsys-tarfile", str(package.file)], stdout=subprocess.PIPE, env={"PATH": SEARCH_PATH, "LC_ALL": "C"}
        ) as reader:
            writer = subprocess.run(
                unpack, stdin=reader.stdout, capture_output=True, env={"PATH": SEARCH_PATH, "LC_ALL": "C"}, check=False
            )
        if reader.returncode or writer.returncode:
            raise CloudError(f"Cannot unpack {package.file.name}: {writer.stderr.decode(errors='replace').strip()[-300:]}")


def _complete(root: Path) -> None:
    """Make what the scripts of packages make."""
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    for name, text in {**dict.fromkeys(_EMPTY_FILES, ""), **_FILES}.items():
        (etc / name).unlink(missing_ok=True)
        (etc / name).write_text(text)
    for link, target in (("usr/bin/awk", "mawk"), ("usr/bin/sh", "dash"), ("usr/bin/which", "which.debianutils")):
        if not (root / link).exists() and (root / "usr/bin" / target).exists():
            (root / link).symlink_to(target)


def _settle(root: Path) -> int:
    """Let everybody read all of it, and nobody become root by it; return its size on disk in bytes."""
    size = 0
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        found = path.stat()
        mode = found.st_mode & 0o777
        path.chmod((mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444)) & 0o755)
        size += found.st_blocks * 512
    return size


def _told_version(root: Path, recipe: Recipe) -> str:
    """Run the server of a new image; raises `CloudError` when it does not run, or is of another version than it should be."""
    bubblewrap = need_program("bwrap", "bubblewrap")
    sandbox = (bubblewrap, "--ro-bind", str(root), "/", "--dev", "/dev", "--unshare-all", "--clearenv")
    code, output = run([*sandbox, "--", recipe.program, "--version"])
    found = _VERSION.search(output)
    if code != 0 or found is None:
        raise CloudError(f"{recipe.name}: {recipe.program} does not run: {output.strip()[-400:]}")
    if not f"{found[0]}.".startswith(f"{recipe.version}."):
        raise CloudError(f"{recipe.name}: the mirror has version {found[0]} of it, and none that begins with {recipe.version}")
    return found[0]
