"""Backups of PostgreSQL by pg_basebackup, while the server serves; increments are the write-ahead log since their parent.

Sources: "pg_basebackup", "Continuous Archiving" and "Replication Slots" of PostgreSQL's manual. The server keeps the log since
the last backup by a slot; when it could not keep all of it, or its history has changed, an increment is a whole backup again.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.json import JSON
from trove.datastores.contract import Command, Host
from trove.datastores.postgresql.naming import ADMIN
from trove.datastores.postgresql.programs import LONGEST_S, installed, major_of, program
from trove.datastores.postgresql.sql import Session

SLOT = "trove_backups"

_OF_ITS_MACHINE = ("standby.signal", "recovery.signal", "backup_manifest", "postmaster.pid", "postmaster.opts")


@dataclass(slots=True, kw_only=True)
class PostgreDump:
    """A backup that is being made. `end` is the log sequence number at which the next increment begins."""

    chunks: Iterator[bytes]
    end: int
    timeline: int
    session: Session = field(repr=False)

    def positions(self) -> Mapping[str, JSON]:
        """Return where the next increment begins, and let the server drop the log before it."""
        if self.session.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", SLOT):
            self.session.run("SELECT pg_replication_slot_advance($1, $2::pg_lsn)", SLOT, text_of(self.end))
        return {"lsn": self.end, "timeline": self.timeline}


@contextlib.contextmanager
def dump(host: Host, data: Path, server: Session, *, since: Mapping[str, JSON] | None) -> Iterator[PostgreDump]:
    """Begin a backup; `server` is a session that lasts until its end."""
    is_standby = server.value("SELECT pg_is_in_recovery()") == "t"
    timeline = 0 if is_standby else _timeline(server)
    if since is not None and timeline and timeline == since.get("timeline") and _has_log_since(server, since.get("lsn")):
        with _log_since(host, data, server, since) as made:
            yield made
        return
    lsn = number_of(server.value("SELECT pg_last_wal_replay_lsn()" if is_standby else "SELECT pg_current_wal_lsn()"))
    if not is_standby:
        _keep_log(server)
    # One of this session holds what pg_basebackup fetches at its end.
    server.run("SELECT pg_create_physical_replication_slot('trove_dump_' || pg_backend_pid(), true, true)")
    command = Command(
        argv=(
            program(host, major_of(data) or 0, "pg_basebackup"),
            f"--host={host.run_dir}",
            f"--username={ADMIN}",
            "--no-password",
            "--pgdata=-",
            "--format=tar",
            "--wal-method=fetch",
            "--checkpoint=fast",
            "--no-manifest",
        ),
        timeout_s=LONGEST_S,
    )
    with host.stream(command) as chunks:
        yield PostgreDump(chunks=chunks, end=lsn, timeline=timeline, session=server)


def restore(
    host: Host, target: Path, streams: Sequence[Callable[[], Iterator[bytes]]], *, progress: Callable[[str, int], None]
) -> None:
    """Make the directory `target`, below the data volume, from a full backup and those after it."""
    part = target.with_name("increment")
    try:
        host.remove_tree(target)
        for stream in streams:
            host.remove_tree(part)
            _extract(host, part, stream)
            progress("preparing the data", 62)
            if major_of(part) is not None:
                host.remove_tree(target)
                host.move(part, target)
                continue
            if major_of(target) is None:
                raise GuestError("The first backup of the chain holds no data directory.")
            for file in sorted(part.iterdir()):
                host.move(file, target / "pg_wal" / file.name)
            host.remove_tree(part)
        major = major_of(target)
        if major not in installed(host):
            raise GuestError(f"The backup is of PostgreSQL {major}, which this server has not.")
        for name in _OF_ITS_MACHINE:
            (target / name).unlink(missing_ok=True)
    except BaseException:
        for folder in (target, part):
            host.remove_tree(folder)
        raise


def number_of(lsn: str) -> int:
    """Return a log sequence number, such as `0/3000060`, as one number."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def text_of(lsn: int) -> str:
    """Return a log sequence number as the server writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@contextlib.contextmanager
def _log_since(host: Host, data: Path, server: Session, since: Mapping[str, JSON]) -> Iterator[PostgreDump]:
    """Stream the segments of the log from a position to now; the last one is ended for that."""
    begin, timeline = since.get("lsn"), _timeline(server)
    assert isinstance(begin, int)
    size = int(server.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"))
    server.run("SELECT pg_create_restore_point('trove')")  # so that there is something to end
    last = (number_of(server.value("SELECT pg_switch_wal()")) - 1) // size
    names = [_segment(timeline, number, size) for number in range(begin // size, last + 1)]
    line = ("tar", "--create", "--file=-", f"--directory={data / 'pg_wal'}", "--files-from=-")
    with host.stream(Command(argv=line, timeout_s=LONGEST_S), ["\n".join([*names, ""]).encode()]) as chunks:
        yield PostgreDump(chunks=chunks, end=(last + 1) * size, timeline=timeline, session=server)


def _segment(timeline: int, number: int, size: int) -> str:
    each = (1 << 32) // size
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def _timeline(server: Session) -> int:
    return int(server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16)


def _has_log_since(server: Session, lsn: object) -> bool:
    kept = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1 AND wal_status IN ('reserved', 'extended')"
    return isinstance(lsn, int) and any(number_of(row[0]) <= lsn for row in server.run(kept, SLOT))


def _keep_log(server: Session) -> None:
    """Have the server keep its log from now on, as far as its bounds allow."""
    status = server.run("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", SLOT)
    if status and status[0][0] not in {"reserved", "extended"}:
        server.run("SELECT pg_drop_replication_slot($1)", SLOT)
    if not status or status[0][0] not in {"reserved", "extended"}:
        server.run("SELECT pg_create_physical_replication_slot($1, true)", SLOT)


def _extract(host: Host, part: Path, stream: Callable[[], Iterator[bytes]]) -> None:
    host.make_dir(part)
    command = Command(argv=("tar", "--extract", "--file=-", f"--directory={part}", "--no-same-owner"), timeout_s=LONGEST_S)
    with contextlib.closing(stream()) as chunks, host.stream(command, chunks) as silence:  # type: ignore[type-var]
        for _ in silence:
            pass
