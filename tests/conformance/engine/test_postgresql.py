"""What only PostgreSQL promises: what is made in a database belongs to all who have rights on it, and what it refuses."""

from contextlib import closing
from typing import cast

import pytest
from tests.conformance.engine.conftest import Build, Move
from tests.support import editions
from tests.support.dialects import Denied, Tenant
from tests.support.dialects.postgresql import PostgreSQLSession
from tests.support.editions import Edition
from tests.support.servers import PASSWORD, Server

from trove.core.accounts import Database, User
from trove.core.errors import GuestError

pytestmark = pytest.mark.manager("postgresql")

REFUSING = [new for old in editions.DEFAULTS if old.manager == "postgresql" for new in editions.refusing(old)]


def connect(server: Server, tenant: Tenant) -> PostgreSQLSession:
    return cast("PostgreSQLSession", server.connect(tenant))


def test_whatever_is_made_in_a_database_belongs_to_all_who_have_rights_on_it(server: Server) -> None:
    ann = server.new_tenant()
    assert ann.database is not None
    bob = Tenant(name=f"{ann.name}-bob", password=PASSWORD, database=ann.database)
    server.call("create_users", [User(name=bob.name, password=PASSWORD, databases=(ann.database,))])
    with closing(connect(server, ann)) as session:
        session.run("CREATE SCHEMA stock")
        session.run("CREATE TABLE stock.item (n int)")
    with closing(connect(server, bob)) as session:
        session.run("INSERT INTO stock.item VALUES (1)")
        session.run("ALTER TABLE stock.item ADD COLUMN name text")
        session.run("CREATE TABLE stock.made_by_bob (n int)")
        session.run("RESET ROLE")
        session.run("CREATE TABLE stock.own (n int)")
    server.call("delete_user", bob.name, "%")
    with closing(connect(server, ann)) as session:
        assert session.run("SELECT n, name FROM stock.item") == [(1, None)]
        for table in ("made_by_bob", "own"):
            session.run(f"DROP TABLE stock.{table}")


def test_whose_rights_were_taken_away_is_out_at_once(server: Server) -> None:
    ann, other = server.new_tenant(), server.new_tenant()
    with closing(connect(server, ann)) as session:
        server.call("revoke_access", ann.name, "%", ann.database)
        with pytest.raises(Exception, match=r"(?i)terminat|closed"):
            session.run("SELECT 1")
    for database in (ann.database, other.database, "template1"):
        with pytest.raises(Denied):
            connect(server, Tenant(name=ann.name, password=PASSWORD, database=database))


@pytest.mark.parametrize(("character_set", "collate"), [("LATIN1", None), (None, "de-x-icu"), ("UTF8", "C")])
def test_encoding_and_collation_are_what_was_asked_for(server: Server, character_set: str | None, collate: str | None) -> None:
    name = f"in-{character_set}-{collate}"
    server.call("create_databases", [Database(name=name, character_set=character_set, collate=collate)])
    found = {each.name: each for each in server.call("list_databases", limit=1000, marker=None).items}[name]
    assert (found.character_set, found.collate) == (character_set or "UTF8", collate or "C")
    server.call("delete_database", name)


@pytest.mark.parametrize("refusing", REFUSING[:1], ids=str)
def test_a_release_that_is_older_than_the_data_is_refused_and_the_old_one_comes_back(
    build: Build, move: Move, edition: Edition, refusing: Edition
) -> None:
    if edition.version == refusing.version:
        pytest.skip("no release is older than itself")
    server = build()
    server.prepare()
    tenant = server.new_tenant()
    with closing(server.connect(tenant)) as session:
        session.put("key", "value")
    server.call("stop", timeout_s=60)
    move(server, refusing)
    with pytest.raises(GuestError, match="older than the data"):
        server.do("upgrade", version=refusing.version, config=server.config())
    move(server, edition)
    server.call("revert_upgrade")
    server.prepare()
    with closing(server.connect(tenant)) as session:
        assert session.get("key") == "value"
