"""The commands about instances, each seen in the instance, its server or its neighbours."""

import re

from tests.support.clients import Clients
from tests.support.clients_shells import Shell


def create_words(shell: Shell, name: str, *more: str) -> tuple[str, ...]:
    """Return the words that create an instance."""
    flavor = ("--flavor", "db.tiny") if shell.name == "openstack" else ("db.tiny",)
    return (name, *flavor, "--size", "1", "--datastore", "mariadb", *more)


def test_an_instance_is_created_listed_shown_and_deleted(shell: Shell) -> None:
    words = create_words(shell, f"made-by-{shell.name}", "--databases", "a", "b", "--users", "amy:amys-secret")
    created = shell.shown("database instance create", *words)
    made = created["id"]
    assert (created["status"], created["datastore"], created["volume"]) == ("BUILD", "mariadb", 1)
    shell.use.healthy(made)
    seen = {row[0] for row in shell.use.sql(made, "SHOW DATABASES", user="amy", password="amys-secret")}
    assert {"a", "b"} <= seen
    listed = {row["id"]: row for row in shell.shown("database instance list", "--limit", "50")}
    assert (listed[made]["name"], listed[made]["status"]) == (f"made-by-{shell.name}", "ACTIVE")
    for named in (made, f"made-by-{shell.name}"):
        shown = shell.shown("database instance show", named)
        assert (shown["id"], shown["name"], shown["operating_status"]) == (made, f"made-by-{shell.name}", "HEALTHY")
    shell.run("database instance delete", f"made-by-{shell.name}")
    shell.use.gone(made)
    shell.fails("database instance show", made)


def test_an_instance_is_put_into_a_network(shell: Shell, orders: str) -> None:
    network = shell.use.instance(orders)["addresses"][0]["network"]
    made = shell.shown("database instance create", *create_words(shell, "placed", "--nic", f"net-id={network}"))["id"]
    (address,) = shell.use.healthy(made)["addresses"]
    assert address["network"] == network
    shell.use.remove(made)


def test_lists_come_in_pages(shell: Shell, orders: str, spare: str) -> None:
    first = shell.shown("database instance list", "--limit", "1")
    assert len(first) == 1
    second = shell.shown("database instance list", "--limit", "1", "--marker", first[0]["id"])
    assert {first[0]["id"], second[0]["id"]} == {orders, spare}


def test_a_restart_ends_the_server_and_starts_another(shell: Shell, spare: str) -> None:
    (before,) = shell.use.stack.servers(spare)
    shell.run("database instance restart", spare)
    shell.use.until(lambda: before not in shell.use.stack.servers(spare))
    shell.use.healthy(spare)
    assert shell.use.may_log_in(spare, user="alice", password="secret-spare")


def test_flavor_and_volume_are_resized(shell: Shell, spare: str) -> None:
    shell.run("database instance resize flavor", spare, "db.small")
    shell.use.until(lambda: shell.use.instance(spare)["flavor"]["id"] == "2")
    shell.use.healthy(spare)
    asked = "SELECT @@innodb_buffer_pool_size"
    assert shell.use.sql(spare, asked, user="alice", password="secret-spare")[0][0] > 16 << 20
    shell.run("database instance resize volume", spare, "2")
    shell.use.until(lambda: shell.use.instance(spare)["volume"]["size"] == 2)
    shell.use.healthy(spare)


def test_a_status_is_reset_by_an_administrator_only(shell: Shell, spare: str) -> None:
    shell.fails("database instance reset status", spare)
    assert shell.use.recorder.last("POST").status == 403
    shell.run("database instance reset status", spare, user="admin")
    assert shell.use.recorder.last("POST").status == 202
    shell.use.healthy(spare)  # Until its next heartbeat the guest counts as unknown.


def test_an_instance_is_deleted_by_force(shell: Shell) -> None:
    made = shell.use.create("forced")
    shell.run("database instance force delete", made, user="admin")
    assert {one.status for one in shell.use.recorder.exchanges if one.method != "GET"} == {202}
    shell.use.gone(made)


def test_an_upgrade_brings_another_server_for_the_same_rows(shell: Shell) -> None:
    made = shell.use.create("older")
    shell.use.healthy(made)
    asked = {"user": "alice", "password": "secret-older"}
    shell.use.sql(made, "CREATE TABLE shop.kept AS SELECT 7 AS number", **asked)
    shell.run("database instance upgrade", made, "11.8")
    shell.use.until(lambda: shell.use.instance(made)["datastore"]["version"] == "11.8", timeout_s=120)
    shell.use.healthy(made)
    assert shell.use.sql(made, "SELECT number FROM shop.kept", **asked) == [(7,)]
    assert str(shell.use.sql(made, "SELECT VERSION()", **asked)[0][0]).startswith("11.8.")
    (backup,) = shell.shown("database backup list instance", made)
    assert (backup["name"], backup["status"]) == ("before upgrade to 11.8 of older", "COMPLETED")
    shell.run("database backup delete", backup["id"])
    shell.use.remove(made)


def test_a_replica_is_made_and_takes_the_place_of_its_source(shell: Shell, spare: str) -> None:
    if shell.name == "openstack":
        copy = shell.shown("database instance create", "copy", "--replica-of", spare)["id"]
    else:
        # The older client cannot leave out the flavor, which is that of the source whatever one asks for.
        shell.fails("database instance create", "copy", "db.tiny", "--replica_of", spare)
        assert shell.use.recorder.last("POST").status == 400
        status, made = shell.use.ask("POST", "/instances", {"instance": {"name": "copy", "replica_of": spare}})
        assert status == 200
        copy = made["instance"]["id"]
    shell.use.healthy(copy)
    assert shell.use.instance(copy)["replica_of"]["id"] == spare
    assert shell.use.sql(copy, "SELECT @@read_only", user="alice", password="secret-spare") == [(1,)]
    shell.fails("database instance eject", spare)
    assert shell.use.recorder.last("POST").status == 400  # it is heard of
    shell.fails("database instance promote", spare)
    assert shell.use.recorder.last("POST").status == 400
    shell.run("database instance promote", copy)
    shell.use.until(lambda: (shell.use.instance(spare).get("replica_of") or {}).get("id") == copy)
    for each in (spare, copy):
        shell.use.healthy(each)
    shell.use.sql(copy, "CREATE TABLE shop.t (i INT)", user="alice", password="secret-spare")
    shell.use.until(lambda: shell.use.sql(spare, "SHOW TABLES FROM shop", user="alice", password="secret-spare"))
    shell.use.remove(spare)
    shell.use.remove(copy)


def test_an_instance_is_renamed_and_opened_to_some_networks_only(use: Clients, spare: str) -> None:
    use.openstack("database instance update", spare, "--name", "renamed")
    assert use.instance(spare)["name"] == "renamed"
    use.openstack("database instance update", spare, "--is-private", "--allowed-cidr", "127.0.0.0/8")
    use.until(lambda: use.instance(spare)["access"] == {"is_public": False, "allowed_cidrs": ["127.0.0.0/8"]})
    use.healthy(spare)


def test_detaching_what_is_no_replica_is_refused(use: Clients, spare: str) -> None:
    use.openstack("database instance detach", spare, status=1)
    assert use.recorder.last("PUT").status == 400
    use.openstack("database instance update", spare, "--detach-replica-source", status=1)
    assert use.recorder.last("PUT").status == 400


def test_the_older_client_cannot_rename_or_detach(use: Clients, spare: str) -> None:
    """Its commands call a function that its library no longer has; nothing reaches the service."""
    assert "has no attribute 'edit'" in use.trove("update", spare, "--name", "renamed", status=1).said
    assert "has no attribute 'edit'" in use.trove("detach-replica", spare, status=1).said
    assert {one.method for one in use.recorder.exchanges} == {"GET"}


def test_an_administrator_reboots_and_rebuilds(use: Clients, spare: str) -> None:
    (before,) = use.stack.servers(spare)
    use.openstack("database instance reboot", spare, user="admin")
    use.until(lambda: before not in use.stack.servers(spare))
    use.healthy(spare)
    image = "c0ffee00-0000-4000-8000-000000000001"
    done = use.openstack("database instance rebuild", spare, image, user="admin", status=1)
    assert use.recorder.last("POST").status in {400, 501}, done.said
    assert use.may_log_in(spare, user="alice", password="secret-spare")
    use.openstack("database instance reboot", spare, status=1)
    assert use.recorder.last("POST").status in {401, 403}


def test_an_administrator_lists_all_projects(use: Clients, orders: str) -> None:
    rows = use.shown("database instance list", "--all-projects", user="admin")
    (row,) = [row for row in rows if row["ID"] == orders]
    assert row["Tenant ID"] == use.project("demo")
    rows = use.shown("database instance list", "--project-id", use.project("alt_demo"), user="admin")
    assert not [row for row in rows if row["ID"] == orders]
    use.openstack("database instance list", "--all-projects", status=1)


def test_the_programs_themselves_run(use: Clients, orders: str) -> None:
    done = use.executable("openstack", "database", "instance", "show", orders, "-c", "name", "-f", "value")
    assert (done.returncode, done.stdout) == (0, "orders\n"), done.stderr
    done = use.executable("trove", "show", orders)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| name +\| orders +\|", done.stdout)
