"""What the root of a sandbox has: programs, and accounts. The root is an image's directory, or None for the host's own."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MAX_LINKS = 8
_ACCOUNT = "trove"
_PASSWD, _GROUP = Path("/etc/passwd"), Path("/etc/group")


def find_program(root: Path | None, names: Iterable[str]) -> str | None:
    """Return the first of these programs, as a path inside the root, or None. A name with `/` in front is a path itself."""
    folders = PATH.split(":")
    places = (place for name in names for place in ([name] if name[:1] == "/" else [f"{folder}/{name}" for folder in folders]))
    return next((place for place in places if _is_program(_followed(root, place))), None)


def missing_accounts(root: Path | None, home: Path) -> Mapping[Path, str]:
    """Return `/etc/passwd` and `/etc/group` with this user in them; nothing where the root has the user already.

    Some programs, such as initdb, ask for the name of the user they run as. No image has accounts.
    """
    uid, gid = os.geteuid(), os.getegid()
    if root is not None:
        passwd, group = ("root:x:0:0::/:/bin/sh\n", "root:x:0:\n") if uid else ("", "")
    elif _has_account(uid):
        return {}
    else:
        passwd, group = (path.read_text().rstrip("\n") + "\n" for path in (_PASSWD, _GROUP))
    return {_PASSWD: f"{passwd}{_ACCOUNT}:x:{uid}:{gid}::{home}:/bin/sh\n", _GROUP: f"{group}{_ACCOUNT}:x:{gid}:\n"}


def _has_account(uid: int) -> bool:
    import pwd  # noqa: PLC0415

    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _followed(root: Path | None, place: str) -> Path:
    """Return where a path inside the root is on the host: links that begin with `/` begin at that root."""
    path = Path(f"{root or ''}{place}")
    for _ in range(_MAX_LINKS):
        if root is None or not path.is_symlink():
            break
        target = path.readlink()
        path = Path(f"{root}{target}") if target.is_absolute() else path.parent / target
    return path
