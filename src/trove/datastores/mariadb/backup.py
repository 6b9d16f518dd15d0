"""Backups of MariaDB by mariadb-backup, streamed while the server serves, and their restoration.

Source: "mariadb-backup" of MariaDB's manual: full and incremental backups, streaming, `--prepare`.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql.naming import ADMIN

PACKAGE = "mariadb-backup"

LONGEST_S = 7 * 24 * 3600.0
_PREPARE_MEMORY = "64M"
_LOG_COPY_MS = 100
_LSN = re.compile(r"^to_lsn\s*=\s*(\d+)$", re.MULTILINE)
_GTID = re.compile(r"GTID of the last change '([0-9,-]+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaDump:
    """A backup that is being made."""

    chunks: Iterator[bytes]
    notes: Path

    def positions(self) -> Mapping[str, JSON]:
        """Return the log sequence number at which the next incremental begins, and the last transaction (GTID), if any."""
        found = _LSN.search(self._note("checkpoints"))
        if found is None:
            raise GuestError("mariadb-backup did not tell where the backup ends.")
        gtid = _GTID.search(self._note("info"))
        return {"lsn": int(found.group(1)), "gtid": None if gtid is None else gtid.group(1)}

    def _note(self, name: str) -> str:
        """Return one of the notes, empty when there is none. Their names changed with version 11.1."""
        paths = (self.notes / f"{prefix}_{name}" for prefix in ("mariadb_backup", "xtrabackup"))
        return next((path.read_text(errors="replace") for path in paths if path.is_file()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a server's files are."""

    data: Path
    socket: Path
    config: Path


@contextlib.contextmanager
def dump(host: Host, places: Places, password: str, *, since: Mapping[str, JSON] | None) -> Iterator[MariaDump]:
    """Run mariadb-backup; its notes are kept beside the data while the block lasts."""
    notes = host.data_dir / "backup"
    host.remove_tree(notes)
    host.make_dir(notes)
    increment: tuple[str, ...] = ()
    if since is not None:
        lsn = since.get("lsn")
        if not isinstance(lsn, int):
            raise GuestError("The backup to build on does not tell where it ends.")
        increment = (f"--incremental-lsn={lsn}",)
    account = f"!include {places.config}\n[client]\nuser={ADMIN}\npassword={password}\nsocket={places.socket}\n"
    command = Command(
        argv=(
            _program(host, "mariadb-backup", "mariabackup"),
            "--defaults-file={account}",
            "--backup",
            "--stream=mbstream",
            # It waits for its thread that copies the redo log, which looks each second by default.
            f"--log-copy-interval={_LOG_COPY_MS}",
            f"--datadir={places.data}",
            f"--tmpdir={notes}",
            f"--target-dir={notes}",
            f"--extra-lsndir={notes}",
            *increment,
        ),
        secret_files={"account": account.encode()},
        timeout_s=LONGEST_S,
    )
    try:
        with host.stream(command) as chunks:
            yield MariaDump(chunks=chunks, notes=notes)
    finally:
        host.remove_tree(notes)


def restore(
    host: Host, target: Path, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]
) -> None:
    """Make the directory `target`, below the data volume, from a full backup and the incremental ones after it."""
    parts = [target, *(target.with_name(f"increment-{number}") for number in range(1, len(streams)))]
    for part in parts:
        host.remove_tree(part)
    try:
        for part, stream in zip(parts, streams, strict=True):
            _extract(host, part, stream)
            progress("preparing the data", 62)
            _prepare(host, target, None if part == target else part)
            if part != target:
                host.remove_tree(part)
    except BaseException:
        for part in parts:
            host.remove_tree(part)
        raise


def _extract(host: Host, part: Path, stream: Callable[[], Iterator[bytes]]) -> None:
    host.make_dir(part)
    command = Command(argv=(_program(host, "mbstream"), "-x", "-C", str(part)), timeout_s=LONGEST_S)
    with contextlib.closing(stream()) as chunks, host.stream(command, chunks) as silence:  # type: ignore[type-var]
        for _ in silence:
            pass


def _prepare(host: Host, target: Path, increment: Path | None) -> None:
    program = _program(host, "mariadb-backup", "mariabackup")
    options = () if increment is None else (f"--incremental-dir={increment}",)
    command = Command(
        argv=(program, "--no-defaults", "--prepare", f"--use-memory={_PREPARE_MEMORY}", f"--target-dir={target}", *options),
        timeout_s=LONGEST_S,
    )
    finished = host.run(command)
    if finished.returncode:
        lines = finished.stderr.decode(errors="replace").splitlines()
        told = [line for line in lines if "rror" in line] or lines
        raise GuestError(f"mariadb-backup could not prepare the data: {' '.join(told[-3:])}")


def _program(host: Host, *names: str) -> str:
    found = host.find_program(*names)
    if found is None:
        raise GuestError(f"{names[0]} is not installed on this server: apt-get install {PACKAGE}")
    return found
