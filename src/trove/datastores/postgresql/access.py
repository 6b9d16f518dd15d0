"""Who may log in from where. Source: "The pg_hba.conf File" of PostgreSQL's manual."""

from trove.datastores.postgresql.naming import ADMIN

HBA = f"""\
# Written by Trove: changes made here are lost. The socket's directory is open to nobody but the server's own user.
local all,replication {ADMIN} trust
local all,replication all reject
host all,replication {ADMIN} all reject
host replication all all scram-sha-256
host all all all scram-sha-256
"""
