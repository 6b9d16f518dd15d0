"""Runs a MySQL server on a host."""

from trove.datastores.contract import Host
from trove.datastores.families.oracle_mysql.dialect import dialect
from trove.datastores.families.oracle_mysql.driver import MySQL
from trove.datastores.families.oracle_mysql.naming import NAMES
from trove.datastores.mysql.spec import SPEC


def driver(host: Host) -> MySQL:
    """Return the driver for `host`."""
    return MySQL(host, dialect(SPEC, NAMES))
