"""Puts a command line into bubblewrap: a read-only root where other instances and the agent's secrets are not there.

The root has the programs of the host, or is an image: a directory with those of one database server and what they need. Of the
host only the places of programs are shown: elsewhere mounts of others come and go, and bubblewrap would stumble over them.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from trove.core.errors import GuestError

_NAMESPACES = (
    ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    ("--unshare-user", "--unshare-ipc", "--unshare-uts"),
    ("--unshare-ipc", "--unshare-uts"),
    (),
)
"""What to ask for, the best first: some machines forbid user or pid namespaces."""

PROBE_TIMEOUT_S = 10.0


_OWN_PLACES = ("dev", "proc", "run", "sys", "tmp", "var")
"""What a sandbox over an image has of its own, or of the machine, whatever the image holds there."""


_HOST = Path("/")
_HOST_PLACES = frozenset({"bin", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"})
"""Where a host has its programs, and what they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a sandboxed program sees beside the read-only root: own directories, and places that look empty.

    `root` is an image, None for the programs of the host. `replaced` are files to be seen in the place of those of the root.
    """

    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    root: Path | None = None
    replaced: Mapping[Path, Path] = field(default_factory=dict)


class Bubblewrap:
    """Builds bubblewrap command lines with as much isolation as this machine permits.

    That is found out once, on first use, unless the names of the namespaces that work are `known`.
    """

    def __init__(self, program: str, view: View, *, known: Sequence[str] = ()) -> None:
        self._program = program
        self._view = view
        self._namespaces = tuple(f"--unshare-{name}" for name in known) or None

    def works(self) -> bool:
        """Tell whether a sandbox can be made here at all."""
        return self._permitted() is not None

    def wrap(self, argv: Sequence[str], env: Mapping[str, str], *, die_with_parent: bool = False, fds: str = "") -> list[str]:
        """Return the command line that runs `argv` with exactly the environment `env`.

        `fds` is `<info>,<block>` for a server: the descriptor that bubblewrap tells the process number on, and the one it waits
        on before it starts the program. Raises `GuestError` when no sandbox can be made.
        """
        permitted = self._permitted()
        if permitted is None:
            raise GuestError("bubblewrap cannot make a sandbox on this machine; set sandbox=process to do without.")
        line = [self._program, *self._mounts(permitted), *permitted, "--clearenv", "--new-session"]
        for name, value in env.items():
            line += ["--setenv", name, value]
        if die_with_parent:
            line.append("--die-with-parent")
        if fds:
            info, block = fds.split(",")
            line += ["--info-fd", info, "--block-fd", block]
            if "--unshare-pid" in permitted:
                line.append("--as-pid-1")
        return [*line, "--", *argv]

    def distrust(self) -> None:
        """Find out again what the machine permits: what was known did not work."""
        self._namespaces = None

    def _mounts(self, namespaces: Sequence[str]) -> list[str]:
        """Return the mounts, outer paths before those inside them."""
        view = self._view
        places: list[tuple[Path, list[str]]] = [(Path("/tmp"), ["--tmpfs", "/tmp"])]  # noqa: S108  the sandbox's own
        places += [(path, ["--ro-bind", str(source), str(path)]) for path, source in view.replaced.items()]
        places += [(path, _hide(path)) for path in view.hidden if self._shown(path)]
        places += [(path, ["--ro-bind", str(path), str(path)]) for path in view.readable]
        places += [(path, ["--bind", str(path), str(path)]) for path in view.writable]
        places.sort(key=lambda place: len(place[0].parts))
        proc = ["--proc", "/proc"] if "--unshare-pid" in namespaces else ["--ro-bind", "/proc", "/proc"]
        words = [word for _, mount in places for word in mount]
        return [*_root(view.root), "--dev", "/dev", *proc, *words, "--remount-ro", "/"]

    def _shown(self, path: Path) -> bool:
        """Tell whether a path would be there if it were not hidden."""
        if self._view.root is None and path.parts[1:2] and path.parts[1] in _HOST_PLACES:
            return True
        return any(place in path.parents for place in (*self._view.readable, *self._view.writable))

    def _permitted(self) -> tuple[str, ...] | None:
        if self._namespaces is None:
            self._namespaces = next((wanted for wanted in _NAMESPACES if self._try(wanted)), None)
        return self._namespaces

    def _try(self, namespaces: Sequence[str]) -> bool:
        import subprocess  # noqa: PLC0415  for a new server the cloud has tried it before

        line = [self._program, *self._mounts(namespaces), *namespaces, "--clearenv", "--new-session", "--", "/bin/true"]
        try:
            return subprocess.run(line, check=False, capture_output=True, timeout=PROBE_TIMEOUT_S).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def read_child_pid(info: IO[bytes]) -> int:
    """Return the process number that bubblewrap tells on its info descriptor; raises `GuestError` when it ended instead."""
    text = info.read()
    try:
        return int(json.loads(text)["child-pid"])
    except (ValueError, KeyError):
        raise GuestError("bubblewrap ended before it started the database server.") from None


def _hide(path: Path) -> list[str]:
    if not path.exists():
        return []
    return ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", os.devnull, str(path)]


def _root(image: Path | None) -> list[str]:
    """Return the mounts of what an image or the host has at its top; where that has links, such as `/bin`, there are links."""
    line = ["--tmpfs", "/"]
    for entry in sorted((image or _HOST).iterdir()):
        if entry.name in _OWN_PLACES or (image is None and entry.name not in _HOST_PLACES):
            continue
        if entry.is_symlink():
            line += ["--symlink", str(entry.readlink()), f"/{entry.name}"]
        elif entry.is_dir():
            line += ["--ro-bind", str(entry), f"/{entry.name}"]
    return [*line, "--ro-bind-try", "/sys", "/sys", "--tmpfs", "/run", "--tmpfs", "/var"]
