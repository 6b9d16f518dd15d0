"""Backups of Percona Server by XtraBackup, streamed while the server serves, and their restoration.

Written from Percona XtraBackup's manual ("Take a streaming backup", "Take an incremental backup", "Prepare an incremental
backup"); never run by the tests, which have no `xtrabackup`.
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
from trove.datastores.families.mysql.programs import program
from trove.datastores.families.oracle_mysql.install import remove_identity

PACKAGE = "percona-xtrabackup"
LONGEST_S = 7 * 24 * 3600.0

_PREPARE_MEMORY = "64M"
_LSN = re.compile(r"^to_lsn\s*=\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class XtraDump:
    """A backup that is being made."""

    chunks: Iterator[bytes]
    notes: Path

    def positions(self) -> Mapping[str, JSON]:
        """Return the log sequence number at which the next incremental begins."""
        return {"lsn": end_of(self.notes / "xtrabackup_checkpoints")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a server's files are."""

    data: Path
    socket: Path
    config: Path


def end_of(checkpoints: Path) -> int:
    """Return the log sequence number at which a backup ends; raises `GuestError` when its notes do not tell."""
    found = _LSN.search(checkpoints.read_text()) if checkpoints.is_file() else None
    if found is None:
        raise GuestError("xtrabackup did not tell where the backup ends.")
    return int(found.group(1))


@contextlib.contextmanager
def dump(host: Host, places: Places, password: str, *, since: Mapping[str, JSON] | None) -> Iterator[XtraDump]:
    """Run xtrabackup; its notes are kept beside the data while the block lasts."""
    notes = host.data_dir / "backup"
    host.remove_tree(notes)
    host.make_dir(notes)
    account = f"!include {places.config}\n[client]\nuser={ADMIN}\npassword={password}\nsocket={places.socket}\n"
    command = Command(
        argv=(
            program(host, PACKAGE, "xtrabackup"),
            "--defaults-file={account}",
            "--backup",
            "--stream=xbstream",
            f"--datadir={places.data}",
            f"--tmpdir={notes}",
            f"--target-dir={notes}",
            f"--extra-lsndir={notes}",
            *_increment(since),
        ),
        secret_files={"account": account.encode()},
        timeout_s=LONGEST_S,
    )
    try:
        with host.stream(command) as chunks:
            yield XtraDump(chunks=chunks, notes=notes)
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
            _prepare(host, target, None if part == target else part, last=part == parts[-1])
            if part != target:
                host.remove_tree(part)
        remove_identity(target)
    except BaseException:
        for part in parts:
            host.remove_tree(part)
        raise


def _increment(since: Mapping[str, JSON] | None) -> tuple[str, ...]:
    if since is None:
        return ()
    lsn = since.get("lsn")
    if not isinstance(lsn, int):
        raise GuestError("The backup to build on does not tell where it ends.")
    return (f"--incremental-lsn={lsn}",)


def _extract(host: Host, part: Path, stream: Callable[[], Iterator[bytes]]) -> None:
    host.make_dir(part)
    command = Command(argv=(program(host, PACKAGE, "xbstream"), "-x", "-C", str(part)), timeout_s=LONGEST_S)
    with contextlib.closing(stream()) as chunks, host.stream(command, chunks) as silence:  # type: ignore[type-var]
        for _ in silence:
            pass


def _prepare(host: Host, target: Path, increment: Path | None, *, last: bool) -> None:
    """Apply the log of a backup. Only after the last one may open transactions be undone."""
    options = () if last else ("--apply-log-only",)
    if increment is not None:
        options = (*options, f"--incremental-dir={increment}")
    argv = (program(host, PACKAGE, "xtrabackup"), "--no-defaults", "--prepare", f"--use-memory={_PREPARE_MEMORY}")
    finished = host.run(Command(argv=(*argv, f"--target-dir={target}", *options), timeout_s=LONGEST_S))
    if finished.returncode:
        lines = finished.stderr.decode(errors="replace").splitlines()
        told = [line for line in lines if "rror" in line] or lines
        raise GuestError(f"xtrabackup could not prepare the data: {' '.join(told[-3:])}")
