"""Speaks SQL to the server over its Unix socket, and turns its errors into Trove's."""

import base64
import contextlib
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trove.core.errors import GuestError, InvalidInput, NotFound, TroveError, Unavailable
from trove.datastores.postgresql.naming import ADMIN
from trove.datastores.postgresql.wire import Connection, ServerError

FULL = "The volume is full: the database server cannot write."

SCRAM_ITERATIONS = 4096
_SETTINGS = {
    "application_name": "trove",
    # Tenants may set these for all sessions. What the agent says is not for the log: there may be hashes of passwords in it.
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_duration": "off",
    "log_min_error_statement": "panic",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "search_path": "pg_catalog",
    "synchronous_commit": "local",
    "DateStyle": "ISO",
    "standard_conforming_strings": "on",
    "role": "none",
}


class Session:
    """One connection as the agent's administrator; each statement is a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server_version(self) -> str:
        """Return the version number that the server greeted with, such as `15.18`."""
        return self._connection.parameters.get("server_version", "").split(" ")[0]

    @property
    def major(self) -> int:
        """Return the major version of the server, such as 15; 0 when it does not tell."""
        digits = self.server_version.split(".")[0]
        return int(digits) if digits.isdigit() else 0

    def run(self, statement: str, *values: object) -> Sequence[tuple[str, ...]]:
        """Run one statement and return its rows as text; `values` fill its `$1`, `$2` … NULL is an empty text.

        Raises what `translated` makes of the server's errors.
        """
        with translated():
            rows = self._connection.run(statement, values)
        return [tuple("" if value is None else value for value in row) for row in rows]

    def value(self, statement: str, *values: object) -> str:
        """Return the only value of the only row."""
        ((found,),) = self.run(statement, *values)
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is run in the block is done, or none of it."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(TroveError):
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")


@contextlib.contextmanager
def session(socket: Path, *, database: str = "postgres", timeout_s: float = 12.0) -> Iterator[Session]:
    """Connect as the administrator; raises `Unavailable` when the server does not answer."""
    with translated():
        connection = Connection(socket, user=ADMIN, database=database, settings=_SETTINGS, timeout_s=timeout_s)
    try:
        opened = Session(connection)
        if opened.major >= 17:
            opened.run("SET transaction_timeout = 0")
        yield opened
    finally:
        connection.close()


def name(identifier: str) -> str:
    """Return an identifier as SQL writes it."""
    escaped = identifier.replace('"', '""')
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a text as SQL writes it, for statements that take no values."""
    escaped = text.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'"


def verifier(password: str) -> str:
    """Return what the server keeps of a password (SCRAM-SHA-256, RFC 5803): the password itself is told to nobody."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{told[0]}${told[1]}:{told[2]}"


def _prepared(password: str) -> bytes:
    """Prepare a password as clients do (SASLprep, RFC 4013); one that it forbids is taken as it is, as they do, too."""
    if password.isascii():
        return password.encode()
    import stringprep  # noqa: PLC0415
    import unicodedata  # noqa: PLC0415

    mapped = "".join(" " if stringprep.in_table_c12(each) else each for each in password if not stringprep.in_table_b1(each))
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    forbidden = (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
        stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
        stringprep.in_table_c9, stringprep.in_table_a1,
    )  # fmt: skip
    if not text or any(test(each) for each in text for test in forbidden):
        return password.encode()
    if any(map(stringprep.in_table_d1, text)):
        ends_right = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
        if any(map(stringprep.in_table_d2, text)) or not ends_right:
            return password.encode()
    return text.encode()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the connection into Trove's."""
    try:
        yield
    except ServerError as error:
        raise _translate(error) from error
    except TimeoutError as error:
        raise Unavailable("The database server does not answer in time.") from error
    except OSError as error:
        raise Unavailable("The database server does not answer.") from error


def _translate(error: ServerError) -> TroveError:
    words = str(error)
    if error.state == "53100" or "No space left" in words:
        return GuestError(FULL)
    if error.state.startswith("57P") or error.state in {"53300", "08006"}:
        return Unavailable("The database server does not answer.")
    if error.state.startswith("28"):
        return GuestError("The database server refuses the agent's account os_admin: a superuser has changed it.")
    if error.state == "3D000":
        return NotFound(f"PostgreSQL: {words}")
    if error.state in {"42P04", "42710"}:
        return InvalidInput(f"PostgreSQL: {words}")
    if error.state == "25006":
        return InvalidInput("This server takes no writes: it is a replica, or closed for a change of roles. Ask the source.")
    return GuestError(f"PostgreSQL: {words} ({error.state})")
