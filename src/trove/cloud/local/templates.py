"""Template data directories: made once for each engine version, copied by every new instance, so that it starts in a second.

A template is made by the guest agent's own program, as a user that no instance has, and then made readable by all. It holds
an empty database server without any password.
"""

import logging
import os
from pathlib import Path

from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.locking import locked
from trove.cloud.local.privileges import Needs, launch_prefix
from trove.cloud.local.processes import MARKER, ProcessSet
from trove.cloud.local.records import make_directory, remove_tree
from trove.core.errors import CloudError

LOG = logging.getLogger(__name__)

MAKE_TIMEOUT_S = 180.0

COPY = "template"
"""Name of the copy of the template in a new data directory; the guest agent looks for it there."""


class Templates:
    """The templates of one state directory. `directory` must exist; `uid` makes them (None: the caller's own user)."""

    def __init__(self, directory: Path, locks: Path, *, command: tuple[str, ...], needs: Needs, uid: int | None) -> None:
        self._directory = directory
        self._locks = locks
        self._command = command
        self._needs = needs
        self._uid = uid

    def find(self, name: str) -> Path | None:
        """Return a template, or None."""
        path = self._directory / name
        return path if path.is_dir() else None

    def ensure(self, name: str, manager: str, root: Path | None = None) -> Path:
        """Return a template, made now unless it is there; waits for another process that makes it. Raises `CloudError`.

        `root` is the image that the programs come from, None for this machine's own.
        """
        found = self.find(name)
        if found is not None:
            return found
        with locked(self._locks / "templates.lock", timeout_s=2 * MAKE_TIMEOUT_S):
            found = self.find(name)
            if found is not None:
                return found
            self._clean()
            target = self._directory / name
            try:
                return self._make(manager, root, target)
            except CloudError as error:
                LOG.warning("the template is made once more: %s", error)
                return self._make(manager, root, target)

    def abandon(self) -> None:
        """Remove what is half made, and whatever still makes it; waits for a template that is being made in earnest."""
        with locked(self._locks / "templates.lock", timeout_s=2 * MAKE_TIMEOUT_S):
            self._clean()

    def delete_all(self) -> None:
        """Remove all templates and whatever makes one."""
        with locked(self._locks / "templates.lock", timeout_s=2 * MAKE_TIMEOUT_S):
            self._clean()
            for path in self._directory.iterdir():
                remove_tree(path)

    def _make(self, manager: str, root: Path | None, target: Path) -> Path:
        work = self._directory / f".{target.name}.{os.urandom(4).hex()}"
        make_directory(work, mode=0o700, owner=self._uid)
        image = () if root is None else (root,)
        needs = Needs(read=(*self._needs.read, *image), reach=self._needs.reach, write=(work,))
        words = ("--make-template", str(work / "data"), "--manager", manager, *(() if root is None else ("--root", str(root))))
        argv = (*launch_prefix(self._uid, needs), *self._command, *words)
        environ = {MARKER: str(self._directory), "HOME": str(work)}
        code, output = run(argv, timeout_s=MAKE_TIMEOUT_S, environ=environ)
        try:
            if code != 0 or not (work / "data").is_dir():
                raise CloudError(f"The template for {manager} cannot be made: {output.strip()[-400:] or f'exit code {code}'}")
            self._processes().kill()
            _open_to_all(work / "data")
            os.sync()
            (work / "data").rename(target)
        finally:
            remove_tree(work)
        return target

    def _clean(self) -> None:
        self._processes().kill()
        for path in self._directory.iterdir():
            if path.name.startswith("."):
                remove_tree(path)

    def _processes(self) -> ProcessSet:
        return ProcessSet(marker=self._directory, uid=self._uid)


def make_data_directory(target: Path, *, template: Path | None, owner: int | None, sync: bool = False) -> None:
    """Make an instance's data directory unless it is there, with a copy of `template` in it for the engine to take.

    It appears whole or not at all; while it is being filled, only the caller can reach it. With `sync`, which is cheap on a
    file system that holds nothing else, that is true also after a power cut. Raises `CloudError`.
    """
    if not target.is_dir():
        fresh = target.with_name(f".{target.name}.new")
        remove_tree(fresh)
        make_directory(fresh, mode=0o700)
        if template is not None:
            # Sparse, because three quarters of a template are zeros.
            how = ("--recursive", "--no-dereference", "--preserve=mode", "--reflink=auto", "--sparse=always")
            copy = (need_program("cp", "coreutils"), *how, str(template), str(fresh / COPY))
            must(copy, "copy the template to the volume", timeout_s=MAKE_TIMEOUT_S)
            _give(fresh / COPY, owner)
            if sync:
                must([need_program("sync", "coreutils"), "--file-system", str(fresh)], "write the template to the volume")
        make_directory(fresh, mode=0o700, owner=owner)
        fresh.rename(target)
    make_directory(target, mode=0o700, owner=owner)


def _give(top: Path, owner: int | None) -> None:
    """Give a tree to user and group `owner`, who is then the only one to reach its content."""
    top.chmod(0o700)
    if owner is None:
        return
    os.chown(top, owner, owner)
    for directory, folders, files in os.walk(top):
        for name in (*folders, *files):
            os.chown(f"{directory}/{name}", owner, owner, follow_symlinks=False)


def _open_to_all(top: Path) -> None:
    """Make a tree readable and nothing in it writable for others, and give it to the caller; links are left out of it."""
    for directory, _, names in os.walk(top):
        for name in (".", *names):
            path = Path(directory) / name
            if path.is_symlink():
                continue
            os.chown(path, os.geteuid(), os.getegid())
            mode = path.stat().st_mode & 0o777
            path.chmod((mode | 0o555 if path.is_dir() else mode | 0o444) & ~0o022)
