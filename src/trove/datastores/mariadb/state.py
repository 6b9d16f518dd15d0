"""What a MariaDB server tells of itself as a replica: whether it follows its source, how closely, and why not."""

import time
from collections.abc import Mapping
from typing import Any

from trove.core.errors import GuestError
from trove.core.replication import ReplicaState
from trove.datastores.families.mysql.sql import Session

CONNECT_TIMEOUT_S = 60.0
"""How long a source may take until it answers one that begins to follow it."""
LOST_LOGS = "1236"
"""The source cannot send what comes next: it has removed that, or never had what this server has."""


def status_of(sql: Session) -> Mapping[str, Any]:
    """Return what the server tells of itself as a replica; nothing when it knows no source."""
    rows = sql.named("SHOW SLAVE STATUS")
    return rows[0] if rows else {}


def state_of(status: Mapping[str, Any]) -> ReplicaState:
    """Return whether and how closely a replica follows, of what it tells of itself."""
    if not status:
        return ReplicaState(following=False, problem="It knows no source.")
    receiving, applying = status["Slave_IO_Running"], status["Slave_SQL_Running"] == "Yes"
    behind = status["Seconds_Behind_Master"]
    return ReplicaState(
        following=receiving == "Yes" and applying,
        lag_s=None if behind is None or receiving != "Yes" else float(behind),
        problem=problem_of(status),
    )


def problem_of(status: Mapping[str, Any]) -> str | None:
    """Return why a replica does not follow, in words for its owner; None while it does, or begins to."""
    if int(status["Last_SQL_Errno"]):
        return f"It cannot apply what it has received: {status['Last_SQL_Error']}"
    words = str(status["Last_IO_Error"])
    if str(status["Last_IO_Errno"]) == LOST_LOGS:
        if "diverged" in words:
            return f"It has writes that its source does not have, so it must be built anew. {words}"
        return f"It is too far behind: its source no longer has what it lacks, so it must be built anew. {words}"
    if int(status["Last_IO_Errno"]):
        return f"It does not reach its source: {words}"
    if status["Slave_SQL_Running"] != "Yes":
        return "It does not apply what it receives."
    return "It does not receive from its source." if status["Slave_IO_Running"] == "No" else None


def await_following(sql: Session) -> None:
    """Return when the source has been found to have what this server needs; raises `GuestError` when it has not."""
    until = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        status = status_of(sql)
        if state_of(status).following and status["Gtid_IO_Pos"] is not None:
            return
        problem = problem_of(status)
        final = int(status["Last_SQL_Errno"]) or str(status["Last_IO_Errno"]) == LOST_LOGS
        if final or time.monotonic() > until:
            sql.run("STOP SLAVE")
            raise GuestError(problem or f"The source did not answer within {CONNECT_TIMEOUT_S:.0f} s.")
        time.sleep(0.02)
