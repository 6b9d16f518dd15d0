"""What engines with databases, users and a superuser promise. Names that are hard to quote work, or are refused by name."""

from contextlib import closing, suppress

import pytest
from tests.support.dialects import Denied, Gone, LoginRefused, Tenant
from tests.support.living_files import contents
from tests.support.servers import PASSWORD, Server

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.datastores.contract import Facet, Spec

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
    "$$",
    "@h",
]
PASSWORDS = ["'", '"', "`", "%s%%", "\\", "é😀漢", "p" * 200, "-- ;", "> # ~ &", "a b", "$$", ":@/"]

databases = pytest.mark.facet(Facet.DATABASES)
users = pytest.mark.facet(Facet.USERS)
grants = pytest.mark.facet(Facet.DATABASES, Facet.USERS)
root = pytest.mark.facet(Facet.ROOT)


def unique(prefix: str = "n") -> str:
    return prefix + new_id()[:8]


def accepts_database(spec: Spec, name: str) -> bool:
    with suppress(InvalidInput):
        spec.check_database(Database(name=name))
        return True
    return False


def accepts_user(spec: Spec, user: User) -> bool:
    with suppress(InvalidInput):
        spec.check_user(user)
        spec.check_password(user.password or "")
        return True
    return False


@databases
def test_databases_of_all_accepted_names_work(server: Server) -> None:
    good = [name for name in (unique() + nasty for nasty in [*NASTY, "x" * 40]) if accepts_database(server.spec, name)]
    assert len(good) >= 2
    for name in good:
        server.call("create_databases", [Database(name=name)])
        with pytest.raises(InvalidInput, match="exists"):
            server.call("create_databases", [Database(name=name)])
    assert set(good) <= set(server.databases())
    for name in good:
        server.call("delete_database", name)
        with pytest.raises(NotFound):
            server.call("delete_database", name)
    assert not set(good) & set(server.databases())


@databases
def test_databases_come_in_pages(server: Server) -> None:
    names = sorted(unique("page") for _ in range(5))
    server.call("create_databases", [Database(name=name) for name in names])
    seen: list[str] = []
    marker = None
    while True:
        page = server.call("list_databases", limit=2, marker=marker)
        assert 0 < len(page.items) <= 2
        seen += [database.name for database in page.items]
        marker = page.next_marker
        if marker is None:
            break
    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in names] == names
    for name in names:
        server.call("delete_database", name)


@databases
def test_several_databases_are_made_all_or_none(server: Server) -> None:
    there, new = unique(), unique()
    server.call("create_databases", [Database(name=there)])
    with pytest.raises(InvalidInput, match=there):
        server.call("create_databases", [Database(name=new), Database(name=there)])
    with pytest.raises(InvalidInput, match="more than once"):
        server.call("create_databases", [Database(name=new), Database(name=new)])
    assert there in server.databases()
    assert new not in server.databases()


@grants
def test_a_database_in_use_is_deleted_all_the_same(server: Server) -> None:
    tenant = server.new_tenant()
    with closing(server.connect(tenant)) as session:
        session.put("key", "value")
        server.call("delete_database", tenant.database)
    assert server.call("list_access", tenant.name, "%") == ()


@pytest.mark.every_edition
@users
def test_users_of_all_accepted_names_and_passwords_log_in(server: Server) -> None:
    wanted = [User(name=unique() + nasty, password=PASSWORD) for nasty in [*NASTY, "x" * 40]]
    wanted += [User(name=unique(), password=f"{PASSWORD}{password}") for password in PASSWORDS]
    good = [user for user in wanted if accepts_user(server.spec, user)]
    assert len(good) >= 10
    server.call("create_users", good)
    for user in good:
        assert user.password is not None
        server.connect(Tenant(name=user.name, password=user.password)).close()
        with pytest.raises(LoginRefused):
            server.connect(Tenant(name=user.name, password=user.password + "x"))
    with pytest.raises(InvalidInput, match="exists"):
        server.call("create_users", [good[0]])
    assert {user.name for user in good} <= set(server.users())
    for user in good:
        server.call("delete_user", user.name, "%")
        for verb in ("delete_user", "get_user"):
            with pytest.raises(NotFound):
                server.call(verb, user.name, "%")
    assert not {user.name for user in good} & set(server.users())


@users
def test_users_come_in_pages_without_passwords(server: Server) -> None:
    names = sorted(unique("page") for _ in range(5))
    server.call("create_users", [User(name=name, password=PASSWORD) for name in names])
    seen: list[User] = []
    marker = None
    while True:
        page = server.call("list_users", limit=2, marker=marker)
        assert 0 < len(page.items) <= 2
        seen += page.items
        marker = page.next_marker
        if marker is None:
            break
    assert [user.name for user in seen if user.name in names] == names
    assert {user.password for user in seen} == {None}
    for name in names:
        server.call("delete_user", name, "%")


@users
def test_users_are_made_all_or_none(server: Server) -> None:
    there, new = unique(), unique()
    server.call("create_users", [User(name=there, password=PASSWORD)])
    with pytest.raises(InvalidInput, match=there):
        server.call("create_users", [User(name=new, password=PASSWORD), User(name=there, password=PASSWORD)])
    if Facet.DATABASES in server.spec.facets:
        nowhere = User(name=unique(), password=PASSWORD, databases=("nowhere",))
        with pytest.raises(InvalidInput, match="does not exist"):
            server.call("create_users", [User(name=new, password=PASSWORD), nowhere])
    with pytest.raises(NotFound):
        server.call("get_user", new, "%")


@users
def test_a_changed_password_is_the_only_one(server: Server) -> None:
    tenant = server.new_tenant()
    server.call("update_user", tenant.name, "%", new_name=None, new_host=None, password="an0ther-Pass")
    with pytest.raises(LoginRefused):
        server.connect(tenant)
    server.connect(Tenant(name=tenant.name, password="an0ther-Pass", database=tenant.database)).close()


@users
def test_a_renamed_user_keeps_its_password_and_its_rights(server: Server) -> None:
    old = server.new_tenant()
    new = unique()
    with closing(server.connect(old)) as session:
        session.put("key", "value")
    server.call("update_user", old.name, "%", new_name=new, new_host=None, password=None)
    with pytest.raises(NotFound):
        server.call("get_user", old.name, "%")
    with pytest.raises(LoginRefused):
        server.connect(old)
    with closing(server.connect(Tenant(name=new, password=PASSWORD, database=old.database))) as session:
        assert session.get("key") == "value"
        session.put("key", "another")
    server.call("create_users", [User(name=old.name, password=PASSWORD)])
    with pytest.raises(InvalidInput, match="exists"):
        server.call("update_user", old.name, "%", new_name=new, new_host=None, password=None)


@users
def test_a_deleted_user_is_cut_off(server: Server) -> None:
    tenant = server.new_tenant()
    with closing(server.connect(tenant)) as session:
        session.put("key", "value")
        server.call("delete_user", tenant.name, "%")
        with pytest.raises((Gone, Denied, LoginRefused)):
            session.put("key", "late")


@users
def test_users_are_there_after_a_restart_and_after_a_kill(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    fresh.restart()
    fresh.connect(tenant).close()
    late = fresh.new_tenant()
    fresh.call("delete_user", tenant.name, "%")
    fresh.kill()
    fresh.call("start")
    fresh.connect(late).close()
    with pytest.raises(LoginRefused):
        fresh.connect(tenant)


@grants
def test_a_grant_reaches_one_database_only(server: Server) -> None:
    owner, other = server.new_tenant(), server.new_tenant()
    with closing(server.connect(owner)) as session:
        session.put("key", "value")
    stranger = Tenant(name=other.name, password=PASSWORD, database=owner.database)
    with pytest.raises(Denied):
        server.connect(stranger)
    server.call("grant_access", other.name, "%", [owner.database])
    with closing(server.connect(stranger)) as session:
        assert session.get("key") == "value"
        session.put("key", "another")
    server.call("revoke_access", other.name, "%", owner.database)
    with pytest.raises(Denied):
        server.connect(stranger)
    with closing(server.connect(owner)) as session:
        assert session.get("key") == "another"
        session.put("more", "rows")


@grants
def test_grants_may_be_repeated_and_revoked_once(server: Server) -> None:
    user, names = unique(), [unique(), unique() + "_x"]
    server.call("create_databases", [Database(name=name) for name in names])
    server.call("create_users", [User(name=user, password=PASSWORD)])
    for _ in range(2):
        server.call("grant_access", user, "%", names)
    assert (
        sorted(server.call("list_access", user, "%")) == sorted(server.call("get_user", user, "%").databases) == sorted(names)
    )
    for name in names:
        server.call("revoke_access", user, "%", name)
        with pytest.raises(NotFound):
            server.call("revoke_access", user, "%", name)
    with pytest.raises(NotFound, match="nowhere"):
        server.call("grant_access", user, "%", ["nowhere"])
    with pytest.raises(NotFound, match="nobody"):
        server.call("grant_access", "nobody", "%", names)


@users
def test_system_accounts_are_hidden_and_untouchable(server: Server) -> None:
    if Facet.ROOT in server.spec.facets:
        server.call("enable_root", PASSWORD)
    assert not {server.spec.root_name, "os_admin"} & set(server.users())
    for host in ("%", "localhost"):
        for name in (server.spec.root_name, "os_admin"):
            with pytest.raises(NotFound):
                server.call("delete_user", name, host)
    for name in (server.spec.root_name, "os_admin"):
        with pytest.raises(InvalidInput, match="reserved"):
            server.call("create_users", [User(name=name, password=PASSWORD)])
    if Facet.ROOT in server.spec.facets:
        server.call("disable_root")


@pytest.mark.every_edition
@root
def test_root_comes_in_while_it_is_enabled_with_its_last_password_only(server: Server) -> None:
    first, last = (Tenant(name=server.spec.root_name, password=password) for password in ("f1rst-Pass", "a'b\"c`%1A"))
    with pytest.raises(LoginRefused):
        server.connect(first)
    for tenant in (first, last, last):
        server.call("enable_root", tenant.password)
        assert server.call("root_enabled") is True
        server.connect(tenant).close()
    with pytest.raises(LoginRefused):
        server.connect(first)
    for _ in range(2):
        server.call("disable_root")
        assert server.call("root_enabled") is False
        with pytest.raises(LoginRefused):
            server.connect(last)


@root
def test_root_stays_as_it_is_over_restarts(fresh: Server) -> None:
    tenant = Tenant(name=fresh.spec.root_name, password=PASSWORD)
    fresh.call("enable_root", PASSWORD)
    fresh.restart()
    assert fresh.call("root_enabled") is True
    fresh.connect(tenant).close()
    fresh.call("disable_root")
    fresh.restart()
    assert fresh.call("root_enabled") is False
    with pytest.raises(LoginRefused):
        fresh.connect(tenant)


@users
def test_passwords_are_in_no_file_that_others_may_read_and_in_no_log(fresh: Server) -> None:
    secret = f"v3ry-Secret-{new_id()}"
    fresh.call("create_users", [User(name="ann", password=secret)])
    fresh.call("update_user", "ann", "%", new_name=None, new_host=None, password=f"{secret}-2")
    if Facet.ROOT in fresh.spec.facets:
        fresh.call("enable_root", f"{secret}-3")
    with pytest.raises(LoginRefused):
        fresh.connect(Tenant(name="ann", password=f"{secret}-4"))
    fresh.restart()
    for path, content in contents(*(fresh.guest.root / name for name in ("log", "volume", "config", "run"))):
        assert secret.encode() not in content, path
