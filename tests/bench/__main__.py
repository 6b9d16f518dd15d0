"""Run the bench: python -m tests.bench [first_query] [api] [conductor] [operations] [backups] [replication] [failover] …."""

import sys

from tests.bench import api, backups, conductor, failover, first_query, openstack, operations, replication

SECTIONS = {
    "first_query": first_query.main,
    "api": api.main,
    "conductor": conductor.main,
    "operations": operations.main,
    "backups": backups.main,
    "replication": replication.main,
    "failover": failover.main,
    "openstack": openstack.main,
}

for chosen in sys.argv[1:] or list(SECTIONS):
    if chosen not in SECTIONS:
        sys.exit(f"unknown section {chosen!r}; there are: {', '.join(SECTIONS)}")
    SECTIONS[chosen]()
