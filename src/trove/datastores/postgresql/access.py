"""Who may log in from where. Source: "The pg_hba.conf File" of PostgreSQL's manual."""

from trove.core.tls import TlsMode
from trove.datastores.postgresql.naming import ADMIN, REPLICAS

_FIRST = f"""\
# Written by Trove: changes made here are lost. The socket's directory is open to nobody but the server's own user.
local all,replication {ADMIN} trust
local all,replication all reject
host all,replication {ADMIN} all reject
"""
_WITHOUT = """\
{host} replication all all scram-sha-256
{host} all all all scram-sha-256
"""
_WITH_CERTIFICATE = f"""\
hostssl all,replication +{REPLICAS} all scram-sha-256
hostssl all,replication all all cert
"""


def access(mode: TlsMode | None) -> str:
    """Return the text of the file.

    With MTLS a tenant logs in with a certificate in his own name, and without a password; replicas, which have none, as ever.
    """
    if mode is TlsMode.MTLS:
        return _FIRST + _WITH_CERTIFICATE
    return _FIRST + _WITHOUT.format(host="hostssl" if mode is TlsMode.ENFORCED else "host")
