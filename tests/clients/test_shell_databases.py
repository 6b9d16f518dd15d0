"""The commands about databases, users, grants and root: what they say they did is true of the real server."""

from tests.support.clients_shells import Shell


def databases(shell: Shell, instance: str, *, user: str, password: str) -> set[str]:
    """Return what a user sees on the server."""
    return {row[0] for row in shell.use.sql(instance, "SHOW DATABASES", user=user, password=password)}


def test_databases_come_and_go(shell: Shell, orders: str) -> None:
    shell.run("database db create", orders, "attic", "--character_set", "latin1", "--collate", "latin1_general_ci")
    assert {row["name"] for row in shell.shown("database db list", orders)} == {"attic", "shop"}
    shell.run("database user create", orders, "eve", "eves-secret", "--databases", "attic")
    asked = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'attic'"
    assert shell.use.sql(orders, asked, user="eve", password="eves-secret") == [("latin1_general_ci",)]
    shell.run("database user delete", orders, "eve")
    shell.run("database db delete", orders, "attic")
    assert [row["name"] for row in shell.shown("database db list", orders)] == ["shop"]
    assert "attic" in shell.fails("database db delete", orders, "attic")


def test_a_user_is_made_shown_and_removed(shell: Shell, orders: str) -> None:
    shell.run("database user create", orders, "bob.smith", "bobs-secret", "--host", "127.0.%", "--databases", "shop")
    assert shell.use.may_log_in(orders, user="alice", password="secret-orders")
    listed = {row["name"]: row for row in shell.shown("database user list", orders)}
    assert set(listed) == {"alice", "bob.smith"}
    assert listed["bob.smith"]["host"] == "127.0.%"
    shown = shell.shown("database user show", orders, "bob.smith", "--host", "127.0.%")
    assert (shown["name"], shown["host"]) == ("bob.smith", "127.0.%")
    shell.run("database user delete", orders, "bob.smith", "--host", "127.0.%")
    assert [row["name"] for row in shell.shown("database user list", orders)] == ["alice"]


def test_access_is_granted_and_revoked(shell: Shell, orders: str) -> None:
    shell.run("database user create", orders, "carol", "carols-secret")
    assert shell.shown("database user show access", orders, "carol") == []
    assert "shop" not in databases(shell, orders, user="carol", password="carols-secret")
    shell.run("database user grant access", orders, "carol", "shop")
    assert [row["name"] for row in shell.shown("database user show access", orders, "carol")] == ["shop"]
    assert "shop" in databases(shell, orders, user="carol", password="carols-secret")
    shell.run("database user revoke access", orders, "carol", "shop")
    assert "shop" not in databases(shell, orders, user="carol", password="carols-secret")
    shell.run("database user delete", orders, "carol")


def test_attributes_of_a_user_change(shell: Shell, orders: str) -> None:
    shell.run("database user create", orders, "dan", "dans-secret")
    shell.run("database user update attributes", orders, "dan", "--new_name", "daniel", "--new_password", "other-secret")
    assert shell.use.may_log_in(orders, user="daniel", password="other-secret")
    assert not shell.use.may_log_in(orders, user="daniel", password="dans-secret")
    assert not shell.use.may_log_in(orders, user="dan", password="dans-secret")
    shell.run("database user delete", orders, "daniel")


def test_root_is_enabled_and_disabled(shell: Shell, orders: str) -> None:
    made = shell.shown("database root enable", orders)
    assert made["name"] == "root"
    assert shell.use.may_log_in(orders, user="root", password=made["password"])
    assert shell.shown("database root show", orders) == {"is_root_enabled": True}
    again = shell.shown("database root enable", orders, "--root_password", "chosen-by-demo")
    assert again == {"name": "root", "password": "chosen-by-demo"}
    assert shell.use.may_log_in(orders, user="root", password="chosen-by-demo")
    shell.run("database root disable", orders)
    assert shell.shown("database root show", orders) == {"is_root_enabled": False}
    assert not shell.use.may_log_in(orders, user="root", password="chosen-by-demo")


def test_a_reader_may_look_but_not_touch(shell: Shell, orders: str) -> None:
    assert [row["name"] for row in shell.shown("database db list", orders, user="demo_reader")] == ["shop"]
    shell.fails("database db create", orders, "attic", user="demo_reader")
    shell.fails("database user delete", orders, "alice", user="demo_reader")
    shell.fails("database root enable", orders, user="demo_reader")
    assert [one.status for one in shell.use.recorder.exchanges if one.method != "GET"] == [403, 403, 403]
    assert shell.use.may_log_in(orders, user="alice", password="secret-orders")
