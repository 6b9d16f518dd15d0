"""What engines with databases, users and a superuser promise. Names that are hard to quote work, or are refused by name."""

import pytest
from tests.support.guests import Machine, Worker

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.datastores.contract import Facet, Spec

Server = tuple[Machine, Worker]

NASTY = [
    "o'clock",
    'say "hi"',
    "back`tick",
    "per%cent",
    "under_score",
    "back\\slash",
    "semi;colon",
    "straße",
    "漢字",
    "a b",
    "-- x",
    "1",
    "{0}",
]


@pytest.fixture(autouse=True)
def _has_accounts(spec: Spec) -> None:
    if not {Facet.DATABASES, Facet.USERS, Facet.ROOT} <= spec.facets:
        pytest.skip(f"{spec.title} has no accounts")


def unique(prefix: str = "n") -> str:
    return prefix + new_id()[:8]


@pytest.mark.parametrize("nasty", [*NASTY, "x" * 51])
def test_a_database_of_any_accepted_name_works(server: Server, spec: Spec, nasty: str) -> None:
    _, worker = server
    database = Database(name=unique() + nasty)
    spec.check_database(database)
    worker.call("driver.create_databases", [database])
    with pytest.raises(InvalidInput, match="exists"):
        worker.call("driver.create_databases", [database])
    names = [one.name for one in worker.call("driver.list_databases", limit=1000, marker=None).items]
    assert database.name in names
    worker.call("driver.delete_database", database.name)
    with pytest.raises(NotFound):
        worker.call("driver.delete_database", database.name)


def test_databases_come_in_pages(server: Server) -> None:
    _, worker = server
    names = sorted(unique("page") for _ in range(5))
    worker.call("driver.create_databases", [Database(name=name) for name in names])
    seen: list[str] = []
    marker = None
    while True:
        page = worker.call("driver.list_databases", limit=2, marker=marker)
        assert 0 < len(page.items) <= 2
        seen += [database.name for database in page.items]
        marker = page.next_marker
        if marker is None:
            break
    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in names] == names
    for name in names:
        worker.call("driver.delete_database", name)


def test_several_databases_are_made_all_or_none(server: Server) -> None:
    _, worker = server
    there, new = unique(), unique()
    worker.call("driver.create_databases", [Database(name=there)])
    with pytest.raises(InvalidInput, match=there):
        worker.call("driver.create_databases", [Database(name=new), Database(name=there)])
    with pytest.raises(InvalidInput, match="more than once"):
        worker.call("driver.create_databases", [Database(name=new), Database(name=new)])
    names = [one.name for one in worker.call("driver.list_databases", limit=1000, marker=None).items]
    assert there in names
    assert new not in names


@pytest.mark.parametrize("nasty", [*NASTY, "x" * 70])
def test_a_user_of_any_accepted_name_works(server: Server, spec: Spec, nasty: str) -> None:
    _, worker = server
    database = unique()
    user = User(name=unique() + nasty, password=nasty + "é😀'\"`%", databases=(database,))
    spec.check_user(user)
    worker.call("driver.create_databases", [Database(name=database)])
    worker.call("driver.create_users", [user])
    with pytest.raises(InvalidInput, match="exists"):
        worker.call("driver.create_users", [user])
    assert worker.call("driver.get_user", user.name, "%").databases == (database,)
    worker.call("driver.delete_user", user.name, "%")
    for verb in ("delete_user", "get_user", "list_access"):
        with pytest.raises(NotFound):
            worker.call(f"driver.{verb}", user.name, "%")


def test_users_come_in_pages_without_passwords(server: Server) -> None:
    _, worker = server
    names = sorted(unique("page") for _ in range(5))
    worker.call("driver.create_users", [User(name=name, password="p") for name in names])
    seen: list[User] = []
    marker = None
    while True:
        page = worker.call("driver.list_users", limit=2, marker=marker)
        assert 0 < len(page.items) <= 2
        seen += page.items
        marker = page.next_marker
        if marker is None:
            break
    assert [user.name for user in seen if user.name in names] == names
    assert {user.password for user in seen} == {None}
    for name in names:
        worker.call("driver.delete_user", name, "%")


def test_users_are_made_all_or_none(server: Server) -> None:
    _, worker = server
    there, new = unique(), unique()
    worker.call("driver.create_users", [User(name=there, password="p")])
    with pytest.raises(InvalidInput, match=there):
        worker.call("driver.create_users", [User(name=new, password="p"), User(name=there, password="p")])
    with pytest.raises(InvalidInput, match="does not exist"):
        worker.call(
            "driver.create_users", [User(name=new, password="p"), User(name=unique(), password="p", databases=("nowhere",))]
        )
    with pytest.raises(NotFound):
        worker.call("driver.get_user", new, "%")


def test_a_renamed_user_keeps_its_rights(server: Server) -> None:
    _, worker = server
    old, new, database = unique(), unique(), unique()
    worker.call("driver.create_databases", [Database(name=database)])
    worker.call(
        "driver.create_users", [User(name=old, password="p", databases=(database,)), User(name=unique("other"), password="p")]
    )
    worker.call("driver.update_user", old, "%", new_name=new, new_host="127.%", password=None)
    assert worker.call("driver.get_user", new, "127.%").databases == (database,)
    with pytest.raises(NotFound):
        worker.call("driver.get_user", old, "%")
    worker.call("driver.create_users", [User(name=old, password="p")])
    with pytest.raises(InvalidInput, match="exists"):
        worker.call("driver.update_user", old, "%", new_name=new, new_host="127.%", password=None)


def test_grants_may_be_repeated_and_revoked_once(server: Server) -> None:
    _, worker = server
    user, databases = unique(), [unique(), unique() + "_%"]
    worker.call("driver.create_databases", [Database(name=name) for name in databases])
    worker.call("driver.create_users", [User(name=user, password="p")])
    for _ in range(2):
        worker.call("driver.grant_access", user, "%", databases)
    assert sorted(worker.call("driver.list_access", user, "%")) == sorted(databases)
    for name in databases:
        worker.call("driver.revoke_access", user, "%", name)
        with pytest.raises(NotFound):
            worker.call("driver.revoke_access", user, "%", name)
    with pytest.raises(NotFound, match="nowhere"):
        worker.call("driver.grant_access", user, "%", ["nowhere"])
    with pytest.raises(NotFound, match="nobody"):
        worker.call("driver.grant_access", "nobody", "%", databases)


def test_system_accounts_are_hidden_and_untouchable(server: Server, spec: Spec) -> None:
    _, worker = server
    worker.call("driver.enable_root", "p")
    assert spec.root_name not in [user.name for user in worker.call("driver.list_users", limit=1000, marker=None).items]
    for host in ("%", "localhost"):
        for name in (spec.root_name, "os_admin"):
            with pytest.raises(NotFound):
                worker.call("driver.delete_user", name, host)
    with pytest.raises(InvalidInput, match="reserved"):
        worker.call("driver.create_users", [User(name=spec.root_name, password="p")])
    worker.call("driver.disable_root")


def test_root_may_be_enabled_and_disabled_again_and_again(server: Server) -> None:
    _, worker = server
    for _ in range(2):
        worker.call("driver.enable_root", "a'b\"c`%é")
        assert worker.call("driver.root_enabled") is True
    for _ in range(2):
        worker.call("driver.disable_root")
        assert worker.call("driver.root_enabled") is False
