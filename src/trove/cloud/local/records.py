"""Small JSON records and other files of the cloud: written whole or not at all, read without following links."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from trove.core.errors import CloudError

MAX_READ = 1024 * 1024


def write_file(path: Path, content: bytes, *, mode: int = 0o600, owner: int | None = None) -> None:
    """Write a file whole or not at all and give it to user and group `owner`. The directory must be the caller's own."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if owner is not None:
            os.fchown(descriptor, owner, owner)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.rename(path)


def remove_file(path: Path) -> None:
    """Remove a file that `write_file` wrote, or began to write. Missing is fine."""
    path.unlink(missing_ok=True)
    path.with_name(f".{path.name}.new").unlink(missing_ok=True)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON record whole or not at all, readable by the caller's user only."""
    write_file(path, json.dumps(record, indent=1).encode())


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a JSON record, None when it is missing. Raises `CloudError` when it is damaged."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CloudError(f"{path} is damaged: {error}") from error
    assert isinstance(record, dict)
    return record


def read_untrusted(path: Path, *, tail: int = 4096) -> str:
    """Return up to `tail` last bytes of a file that an instance's user may have planted; empty when it is not a plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        size = os.fstat(descriptor).st_size
        with suppress(OSError):
            return os.pread(descriptor, tail, max(0, size - tail)).decode(errors="replace")
        return ""
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = 0o711, owner: int | None = None) -> None:
    """Ensure a directory with exactly this mode and owner; its parent must be the caller's own."""
    with suppress(FileExistsError):
        path.mkdir(mode=mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if owner is not None:
            os.fchown(descriptor, owner, owner)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a directory with all it holds, never following links. Missing is fine. Raises `CloudError` when some is left."""
    with suppress(FileNotFoundError):
        if path.is_symlink():
            path.unlink()
            return
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            shutil.rmtree(path, ignore_errors=True)
        except OSError as error:
            raise CloudError(f"{path} cannot be removed: {error.strerror}") from error
