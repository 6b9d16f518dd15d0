"""Mode MTLS where only each account can tell that it needs a certificate: all of them are told to, and told back afterwards.

Replicas get this from their source. What an account demanded by itself before is noted beside the files, and given back to it.
"""

import json
from collections.abc import Collection

from trove.core.tls import TlsMode
from trove.datastores.families.mysql.sql import Session
from trove.datastores.tlsfiles import TlsFiles

LIST = """
SELECT User, Host, ssl_type FROM mysql.user
WHERE ssl_type IN %s AND LOWER(User) NOT IN %s AND User NOT REGEXP '{reserved}'
AND (User, Host) IN (SELECT User, Host FROM {table} WHERE {is_user})"""
"""Accounts that people log in with. What one of them demands of a certificate itself, `SPECIFIED`, is more than is asked."""

_BACK = {"ANY": "REQUIRE SSL", "X509": "REQUIRE X509"}


def requirement(*, needed: bool) -> str:
    """Return the clause of an account that needs a certificate besides its password, or none."""
    return "REQUIRE X509" if needed else "REQUIRE NONE"


def settle(sql: Session, listed: str, exempt: Collection[str], files: TlsFiles, *, needed: bool) -> None:
    """Have all accounts that are `listed`, but those exempt, need a certificate, or what they needed before. May run twice."""
    note = files.note()
    if not needed and note is None:
        return
    if note is None:
        own = [list(row) for row in sql.run(listed, tuple(_BACK), tuple(exempt))]
        files.write_note(json.dumps(own))
    before = {} if needed else {(user, host): kind for user, host, kind in json.loads(note or "[]")}
    for user, host, _ in sql.run(listed, ("", "ANY") if needed else ("X509",), tuple(exempt)):
        clause = _BACK.get(before.get((user, host), ""), requirement(needed=needed))
        sql.run(f"ALTER USER {sql.account(user, host)} {clause}")
    if not needed:
        files.write_note(None)


def note_of_replica(files: TlsFiles) -> None:
    """Note that the accounts of a replica get what its source says: should it become one, it can take that back."""
    if files.mode() is not TlsMode.MTLS:
        files.write_note(None)
    elif files.note() is None:
        files.write_note("[]")
