"""The commands about backups and their strategies."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.clients import Clients
from tests.support.clients_shells import Shell

NOWHERE = "c0ffee00-0000-4000-8000-00000000000b"


@pytest.fixture
def filled(use: Clients, spare: str) -> Iterator[str]:
    """Return an instance with one row in shop.orders; its backups are removed afterwards."""
    write(use, spare, "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
    write(use, spare, "INSERT INTO shop.orders VALUES (1)")
    yield spare
    for backup in use.get(f"/instances/{spare}/backups")["backups"]:
        assert use.ask("DELETE", f"/backups/{backup['id']}")[0] in {202, 404}
    use.until(lambda: not use.get(f"/instances/{spare}/backups")["backups"])


def write(use: Clients, instance: str, statement: str) -> None:
    use.sql(instance, statement, user="alice", password="secret-spare")


def create(shell: Shell, name: str, instance: str, *more: str) -> str:
    """Make a backup by the client and wait until it is there; return its id."""
    words = (name, "--instance", instance) if shell.name == "openstack" else (instance, name)
    made = shell.shown("database backup create", *words, *more)
    assert (made["name"], made["instance_id"]) == (name, instance)
    done(shell.use, made["id"])
    return str(made["id"])


def done(use: Clients, backup: str) -> Any:
    """Wait until a backup is complete; return it."""

    def ended() -> Any:
        shown = use.get(f"/backups/{backup}")["backup"]
        assert shown["status"] != "FAILED", use.stack.tails()
        return shown if shown["status"] == "COMPLETED" else None

    return use.until(ended)


def test_a_backup_is_made_listed_shown_restored_and_deleted(shell: Shell, filled: str) -> None:
    use = shell.use
    full = create(shell, "full", filled, "--description", "before the sale")
    write(use, filled, "INSERT INTO shop.orders VALUES (2)")
    more = create(shell, "more", filled, "--incremental")
    use.healthy(filled)
    assert use.get(f"/backups/{more}")["backup"]["parent_id"] == full
    assert {row["id"] for row in shell.shown("database backup list")} == {full, more}
    assert {row["id"] for row in shell.shown("database backup list instance", filled)} == {full, more}
    shown = shell.shown("database backup show", "full")
    assert (shown["id"], shown["status"], shown["description"]) == (full, "COMPLETED", "before the sale")
    flavor = ("--flavor", "db.tiny") if shell.name == "openstack" else ("db.tiny",)
    words = ("restored", *flavor, "--size", "1", "--datastore", "mariadb", "--backup", "more")
    restored = shell.shown("database instance create", *words)["id"]
    use.healthy(restored)
    rows = use.sql(restored, "SELECT id FROM shop.orders ORDER BY id", user="alice", password="secret-spare")
    assert rows == [(1,), (2,)]
    use.remove(restored)
    shell.run("database backup delete", "full")
    use.until(lambda: {use.ask("GET", f"/backups/{each}")[0] for each in (full, more)} == {404})


def test_a_backup_has_a_parent_of_its_own_choice(shell: Shell, filled: str) -> None:
    full = create(shell, "full", filled)
    create(shell, "second", filled, "--incremental")
    chosen = create(shell, "chosen", filled, "--parent", full)
    assert shell.use.get(f"/backups/{chosen}")["backup"]["parent_id"] == full


def test_what_is_not_there_is_neither_shown_nor_deleted(shell: Shell) -> None:
    assert NOWHERE in shell.fails("database backup show", NOWHERE)
    assert NOWHERE in shell.fails("database backup delete", NOWHERE)
    assert {one.status for one in shell.use.recorder.exchanges if NOWHERE in one.path} == {404}


def test_backups_of_all_projects_are_for_administrators(use: Clients) -> None:
    assert use.shown("database backup list", "--all-projects", user="admin") == []
    assert use.shown("database backup list", "--project-id", use.project("demo"), user="admin") == []
    use.openstack("database backup list", "--all-projects", status=1)
    assert use.recorder.last("GET").status == 403


def test_a_backup_from_elsewhere_is_taken_in_only_if_it_can_be_read(use: Clients) -> None:
    version = use.version()
    words = ("--restore-from", "http://127.0.0.1:9/v1/AUTH_x/backups/a.gz", "--restore-datastore-version", version["id"])
    use.openstack("database backup create", "imported", *words, "--restore-size", "0.3", status=1)
    assert use.recorder.last("POST").status in {400, 501}
    assert use.get("/backups")["backups"] == []


def test_a_strategy_is_made_replaced_listed_and_deleted(use: Clients, orders: str) -> None:
    made = use.shown("database backup strategy create", "--instance-id", orders, "--swift-container", "weekly")
    assert (made["instance_id"], made["swift_container"], made["project_id"]) == (orders, "weekly", use.project())
    use.openstack("database backup strategy create", "--swift-container", "all")
    use.openstack("database backup strategy create", "--instance-id", orders, "--swift-container", "daily")
    rows = use.shown("database backup strategy list")
    assert {(row["Instance ID"], row["Swift Container"]) for row in rows} == {(orders, "daily"), ("", "all")}
    (row,) = use.shown("database backup strategy list", "--instance-id", orders)
    assert row["Swift Container"] == "daily"
    use.openstack("database backup strategy delete", "--instance-id", orders)
    assert [row["Swift Container"] for row in use.shown("database backup strategy list")] == ["all"]
    use.openstack("database backup strategy delete", "--project-id", use.project(), user="alt_demo", status=1)
    assert use.recorder.last("DELETE").status == 403
    use.openstack("database backup strategy delete", "--project-id", use.project(), user="admin")
    assert use.shown("database backup strategy list") == []
