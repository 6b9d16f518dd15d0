"""What is asked of a source of MariaDB before it is followed, as the account of the replica."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trove.core.errors import GuestError
from trove.core.replication import Source
from trove.datastores.mariadb import positions
from trove.datastores.mariadb.positions import Position
from trove.datastores.mariadb.state import CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    import ssl

_NO_TLS = 2026
"""The client's own error: it was to use TLS, and the server has none."""


@contextlib.contextmanager
def at_source(source: Source) -> Iterator[Any]:
    """Yield a cursor on the source, as the account of a replica. Raises `GuestError` when it cannot be asked."""
    import pymysql  # noqa: PLC0415

    tls: dict[str, Any] = {"ssl": _unverified()}
    until, pause_s = time.monotonic() + CONNECT_TIMEOUT_S, 0.1
    while True:
        try:
            connection = pymysql.connect(
                host=source.host,
                port=source.port,
                user=source.account.name,
                password=source.account.password,
                connect_timeout=5,
                read_timeout=10,
                **tls,
            )
            break
        except pymysql.err.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code == _NO_TLS and "ssl" in tls:
                tls = {"ssl_disabled": True}
                continue
            if time.monotonic() > until or code == 1045:
                told = "refuses the account of the replica" if code == 1045 else "does not answer"
                raise GuestError(f"The source {source.host}:{source.port} {told} ({code}).") from None
        time.sleep(pause_s)
        pause_s = min(2.0, pause_s * 2)
    with contextlib.closing(connection), connection.cursor() as cursor:
        try:
            yield cursor
        except pymysql.err.MySQLError as error:
            raise GuestError(f"The source {source.host}:{source.port} cannot be asked for its position: {error}") from None


def _unverified() -> "ssl.SSLContext":
    """Return how a source is spoken to where it has TLS: as in replication itself, nobody vouches for its certificate."""
    import ssl  # noqa: PLC0415

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def history(source: Source) -> str:
    """Return the `gtid_binlog_state` of a source: of each server the last transaction that it has."""
    with at_source(source) as cursor:
        cursor.execute("SELECT @@GLOBAL.gtid_binlog_state")
        return str(cursor.fetchone()[0] or "")


def need_common_history(own: Position, theirs: str, source: Source) -> None:
    """Raise `GuestError` unless a source, whose history is `theirs`, has all that lies before a position of this server."""
    if not positions.is_part(own, theirs):
        raise GuestError(
            f"This server has writes up to {positions.write(own)} that its new source {source.host}:{source.port} does not "
            f"know ({theirs or 'nothing'}). It must be built anew."
        )
