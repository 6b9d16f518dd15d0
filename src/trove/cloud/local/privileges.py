"""Who an agent runs as, and how it reaches what that user cannot read.

As root an agent, and with it the database server, runs as the instance's own user. Where the Python runtime, the package or
the state directory lies below a directory that is closed to others (root's home is the usual case), the agent starts inside
a bubblewrap mount namespace, which root makes: an empty directory over the closed one, and in it only what the agent needs.
"""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trove.cloud.local.commands import find_program, must, need_program, run
from trove.cloud.local.processes import MARKER
from trove.core.errors import CloudError

SANDBOX_NAMESPACES = (("user", "pid", "ipc", "uts"), ("user", "ipc", "uts"))
"""What to ask of bubblewrap for a database server, the best first: some machines forbid pid namespaces."""

_PROGRAM_PLACES = ("/bin", "/gnu", "/lib", "/lib32", "/lib64", "/nix", "/usr")

_MAX_LINKS = 40
"""Symbolic links that are followed for one path, as the kernel does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an agent must `read` (programs, libraries), `reach` (directories of sockets) and `write` (its own directories)."""

    read: tuple[Path, ...] = ()
    reach: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


@dataclass(slots=True)
class _View:
    """What is put over closed directories (`covers`), as bubblewrap is to make it. `binds` tells which may be written."""

    covers: list[Path] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    links: dict[Path, str] = field(default_factory=dict)
    binds: dict[Path, bool] = field(default_factory=dict)

    def covered(self, path: Path) -> bool:
        """Tell whether `path` lies below a directory that is covered."""
        return any(cover in path.parents for cover in self.covers)

    def note_directory(self, path: Path, mode: int) -> None:
        """Note a directory on the way to a needed path: one to make again, or one to cover because others may not pass it."""
        if self.covered(path):
            if path not in self.directories:
                self.directories.append(path)
        elif not mode & stat.S_IXOTH and path not in self.covers:
            self.covers.append(path)

    def note_link(self, path: Path, target: Path) -> None:
        """Note a symbolic link on the way."""
        if self.covered(path):
            self.links[path] = str(target)

    def arguments(self) -> Iterator[str]:
        """Yield the arguments for bubblewrap."""
        for cover in self.covers:
            yield from ("--perms", "0755", "--tmpfs", str(cover))
        for directory in self.directories:
            yield from ("--perms", "0755", "--dir", str(directory))
        for path, target in self.links.items():
            yield from ("--symlink", target, str(path))
        for path in sorted(self.binds):
            yield from ("--bind" if self.binds[path] else "--ro-bind", str(path), str(path))


_TRIAL = {MARKER: "trial"}
"""In the environment of what only tries something: it belongs to no instance, and goes with none whose user it is."""


def user_prefix(uid: int | None) -> tuple[str, ...]:
    """Return the beginning of a command line that goes on as user and group `uid` without a way back; empty for None."""
    if uid is None:
        return ()
    setpriv = need_program("setpriv", "util-linux")
    return (setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs")


def launch_prefix(uid: int | None, needs: Needs) -> tuple[str, ...]:
    """Return the beginning of a command line that goes on as `uid` and reaches all that it needs.

    Raises `CloudError` naming the path and the way out when that cannot be had.
    """
    as_user = user_prefix(uid)
    if uid is None:
        return as_user
    closed = unreachable(as_user, needs)
    if not closed:
        return as_user
    bwrap = find_program("bwrap")
    if bwrap is None:
        raise CloudError(
            f"{closed[0]} is closed to the user that database servers run as. Open the directories above it (chmod o+x), keep "
            "it elsewhere, or install bubblewrap: apt-get install bubblewrap"
        )
    prefix = (bwrap, "--dev-bind", "/", "/", *_view(needs).arguments(), *as_user)
    still = unreachable(prefix, needs)
    if still:
        raise CloudError(f"{still[0]} cannot be used by the user that database servers run as; open it with: chmod -R o+rX")
    return prefix


class Ways:
    """Remembers how instances reach what all of them share, so that it is tried once and not at each start.

    What differs between them are their own directories, which are made for them.
    """

    def __init__(self) -> None:
        self._direct: dict[Needs, bool] = {}

    def prefix(self, uid: int | None, shared: Needs, own: Needs) -> tuple[str, ...]:
        """Return what `launch_prefix` does for the needs of both kinds; errors as there."""
        needs = Needs(read=(*shared.read, *own.read), reach=(*shared.reach, *own.reach), write=(*shared.write, *own.write))
        as_user = user_prefix(uid)
        if shared not in self._direct or uid is None:
            prefix = launch_prefix(uid, needs)
            self._direct[shared] = prefix == as_user
            return prefix
        if self._direct[shared]:
            return as_user
        return (need_program("bwrap", "bubblewrap"), "--dev-bind", "/", "/", *_view(needs).arguments(), *as_user)


def unreachable(prefix: Sequence[str], needs: Needs) -> tuple[Path, ...]:
    """Return those needed paths that a program started with `prefix` cannot use as it must. A missing one counts."""
    script = (
        "for one do mode=${one%%:*} path=${one#*:}; "
        '[ -e "$path" ] && { [ ! -d "$path" ] || [ -x "$path" ]; } && { [ "$mode" = reach ] || [ -r "$path" ]; } '
        '&& { [ "$mode" != write ] || [ -w "$path" ]; } || printf "%s\\n" "$path"; done'
    )
    wanted = {"read": needs.read, "reach": needs.reach, "write": needs.write}
    words = [f"{mode}:{path}" for mode, paths in wanted.items() for path in paths]
    argv = [*prefix, "/bin/sh", "-c", script, "sh", *words]
    found = must(argv, "test what an instance's user can reach", environ=_TRIAL).splitlines()
    return tuple(Path(line) for line in found)


def nested_namespaces(prefix: Sequence[str]) -> tuple[str, ...] | None:
    """Return the namespaces that a program started with `prefix` can put a bubblewrap sandbox in, as many as possible.

    None: it can make no sandbox that has a user namespace of its own, which one needs without privileges.
    """
    bwrap = find_program("bwrap")
    if bwrap is None:
        return None
    for names in SANDBOX_NAMESPACES:
        sandbox = [bwrap, *(f"--unshare-{name}" for name in names), *_programs(), "--dev", "/dev", "--tmpfs", "/run"]
        if "pid" in names:
            sandbox += ["--proc", "/proc"]
        if run([*prefix, *sandbox, "/bin/true"], environ=_TRIAL)[0] == 0:
            return names
    return None


def _programs() -> Iterator[str]:
    """Yield the arguments for bubblewrap that show the programs of the host.

    Not all of the host, as the sandbox of a server does not either: bubblewrap fails at a mount elsewhere that goes meanwhile.
    """
    for place in _PROGRAM_PLACES:
        yield from ("--ro-bind-try", place, place)


def _view(needs: Needs) -> _View:
    view = _View()
    for path in needs.read:
        _add(view, path, writable=False)
    for path in (*needs.reach, *needs.write):
        _add(view, path, writable=True)
    bound = set(view.binds)
    view.binds = {
        path: write for path, write in view.binds.items() if write or not any(above in bound for above in path.parents)
    }
    view.directories = [path for path in view.directories if not any(above in bound for above in (path, *path.parents))]
    view.links = {path: to for path, to in view.links.items() if not any(above in bound for above in path.parents)}
    return view


def _add(view: _View, path: Path, *, writable: bool) -> None:
    """Walk to `path` as the kernel would, and note what must be made again below the first closed directory on the way."""
    current, rest, links = Path("/"), list(path.parts[1:]), 0
    while rest:
        step = current / rest.pop(0)
        if step.name == "..":
            current = current.parent
            continue
        try:
            mode = step.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(mode):
            if rest:
                view.note_directory(step, mode)
            current = step
            continue
        target = step.readlink()
        view.note_link(step, target)
        links += 1
        if links > _MAX_LINKS:
            return
        current = Path("/") if target.is_absolute() else current
        rest = [part for part in target.parts if part != "/"] + rest
    if view.covered(current):
        view.binds[current] = view.binds.get(current, False) or writable
