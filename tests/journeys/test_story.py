"""The way of an instance through the whole service, told with the real clients."""

import json
import os
import subprocess
import sys

from tests.support.stack import BIN, Stack


def test_the_story_of_the_demo_with_the_command_line_client(shared: Stack) -> None:
    created = json.loads(
        shared.openstack(
            *("database", "instance", "create", "story", "--flavor", "db.tiny", "--size", "1", "--datastore", "mariadb"),
            *("--databases", "shop", "--users", "alice:secret-story", "-f", "json"),
        ).stdout
    )
    instance_id = created["id"]
    shown = shared.await_healthy(instance_id)
    with shared.connect(shown, password="secret-story") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, word VARCHAR(20) CHARACTER SET utf8mb4)")
        cursor.execute("INSERT INTO t VALUES (1, 'ä'), (2, 'b')")
        connection.commit()
    assert [
        row["Name"] for row in json.loads(shared.openstack("database", "db", "list", instance_id, "-f", "json").stdout)
    ] == ["shop"]
    assert [
        row["Name"] for row in json.loads(shared.openstack("database", "user", "list", instance_id, "-f", "json").stdout)
    ] == ["alice"]
    shared.openstack("database", "db", "create", instance_id, "more")
    shared.openstack("database", "user", "create", instance_id, "bob", "secret-bob", "--databases", "more")
    shared.openstack("database", "instance", "restart", instance_id)
    shown = shared.await_healthy(instance_id)
    with shared.connect(shown, password="secret-story") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, word FROM t ORDER BY id")
        assert cursor.fetchall() == ((1, "ä"), (2, "b"))
    assert instance_id in shared.openstack("database", "instance", "list").stdout
    shared.openstack("database", "instance", "delete", instance_id)
    shared.await_gone(instance_id)


def test_openstacksdk_sees_what_the_environment_says(shared: Stack) -> None:
    instance_id = shared.create("seen-by-sdk")
    try:
        shared.await_healthy(instance_id)
        code = "import openstack\nfor one in openstack.connect().database.instances(): print(one.id, one.status)"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | shared.environment()
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        assert f"{instance_id} ACTIVE" in done.stdout
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)


def test_root_is_enabled_and_disabled(shared: Stack) -> None:
    instance_id = shared.create("rooted")
    try:
        shown = shared.await_healthy(instance_id)
        client = shared.client()
        name, password = client.root.create(instance_id)
        with shared.connect(shown, user=name, password=password) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM mysql.global_priv")
            assert cursor.fetchone() is not None
        assert client.root.is_instance_root_enabled(instance_id).rootEnabled
        client.root.disable_instance_root(instance_id)
        assert client.users.list(instance_id)[0].name == "alice"
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)


def test_ten_instances_at_once(shared: Stack) -> None:
    ids = [shared.create(f"crowd-{number}", user="demo") for number in range(10)]
    try:
        refused = shared.request(
            "POST", "/instances", {"instance": {"name": "x", "flavorRef": "1", "volume": {"size": 1}}}, user="demo"
        )
        assert refused.status == 413
        addresses = {shared.await_healthy(instance_id, user="demo")["addresses"][0]["address"] for instance_id in ids}
        assert len(addresses) == 10
        for number, instance_id in enumerate(ids):
            shown = shared.show(instance_id, user="demo")
            assert shown is not None
            shared.connect(shown, password=f"secret-crowd-{number}").close()
    finally:
        for instance_id in ids:
            shared.delete(instance_id, user="demo")
    for instance_id in ids:
        shared.await_gone(instance_id, user="demo")


def test_the_status_command_knows_the_processes_of_an_instance(shared: Stack) -> None:
    instance_id = shared.create("counted")
    try:
        shown = shared.await_healthy(instance_id)
        row = shared.instance_row(instance_id)
        assert row is not None
        assert set(row) == {"id", "name", "datastore", "status", "address", "port", "agent_pid", "server_pid"}
        assert (row["name"], row["datastore"], row["status"], row["port"]) == ("counted", "mariadb", "ACTIVE", 3306)
        assert row["address"] == shown["addresses"][0]["address"]
        for pid in (row["agent_pid"], row["server_pid"]):
            os.kill(pid, 0)
        logs = subprocess.run(
            [BIN / "trove-local", "logs", "--state-dir", shared.root, "counted"], capture_output=True, text=True, check=True
        )
        assert logs.stdout
    finally:
        shared.delete(instance_id)
    shared.await_gone(instance_id)
