"""The file that a PostgreSQL server reads: what depends on the volume, the configuration, and what Trove keeps to itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trove.core.units import MIB
from trove.datastores.postgresql.options import quoted
from trove.datastores.postgresql.state import Followed

SENDERS = 20
"""How many replicas and backups may be served at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the file depends on. `log_statements`: None leaves it to the configuration. `floor`: least numbers.

    `tls` are the files that the server shows its clients, by parameter; nothing without TLS.
    """

    major: int
    volume_bytes: int
    running: Path
    log: Path
    options: Mapping[str, str]
    log_statements: bool | None
    source: Followed | None
    password_file: Path
    floor: Mapping[str, int]
    tls: Mapping[str, Path]


def server_config(inputs: Inputs) -> str:
    """Return the text of the file: in it the last word wins."""
    volume_mib = inputs.volume_bytes // MIB
    lines = [
        "# Written by Trove: changes made here are lost.",
        _line("max_wal_size", f"{min(1024, max(64, volume_mib // 8))}MB"),
        _line("min_wal_size", f"{min(80, max(32, volume_mib // 32))}MB"),
        _line("wal_retrieve_retry_interval", "200ms"),  # so soon a replica looks for a source that it was given
        f"include {quoted(str(inputs.running))}",
        *(_line(name, value) for name, value in _fixed(inputs, volume_mib).items()),
    ]
    for name, least in inputs.floor.items():
        given = inputs.options.get(name, "")
        if name == "max_wal_senders" or not given.isdigit() or int(given) < least:
            lines.append(_line(name, max(least, SENDERS) if name == "max_wal_senders" else least))
    return "\n".join([*lines, ""])


def _fixed(inputs: Inputs, volume_mib: int) -> dict[str, object]:
    settings: dict[str, object] = {
        "logging_collector": "on",
        "log_destination": "stderr",
        "log_directory": inputs.log.parent,
        "log_filename": inputs.log.name,
        "log_file_mode": "0600",
        "log_rotation_age": 0,
        "log_rotation_size": 0,
        "log_truncate_on_rotation": "off",
        "wal_level": "replica",
        "wal_log_hints": "on",
        "full_page_writes": "on",
        "fsync": "on",
        "archive_mode": "off",
        "hot_standby": "on",
        "max_wal_senders": SENDERS,
        "max_replication_slots": SENDERS,
        "max_slot_wal_keep_size": f"{max(128, volume_mib // 5)}MB",
        "wal_keep_size": f"{min(512, volume_mib // 20)}MB",
        "recovery_target_timeline": "latest",
        "ssl": "on" if inputs.tls else "off",
        **inputs.tls,
    }
    if inputs.major >= 17:
        settings["summarize_wal"] = "on"
    if inputs.log_statements is not None:
        settings["log_statement"] = "all" if inputs.log_statements else "none"
    if inputs.source is not None:
        settings["primary_conninfo"] = conninfo(inputs.source, str(inputs.password_file))
        settings["primary_slot_name"] = inputs.source.account
    return settings


def conninfo(source: Followed, password_file: str, **more: str) -> str:
    """Return how a source is reached, as PostgreSQL's programs understand it."""
    words = {
        "host": source.host,
        "port": str(source.port),
        "user": source.account,
        "passfile": password_file,
        "sslmode": "prefer",
        "connect_timeout": "10",
        "keepalives_idle": "30",
        **more,
    }
    return " ".join(f"{name}={_word(value)}" for name, value in words.items())


def _word(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _line(name: str, value: object) -> str:
    return f"{name} = {quoted(str(value))}"
