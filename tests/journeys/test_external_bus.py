"""The whole service on a real RabbitMQ: its story, the broker's sudden death, and what each guest may do there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.listening import listening, url_of
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitServer, rabbit_server
from tests.support.stack import Stack, await_value, stack

pytestmark = pytest.mark.xdist_group("external-bus")


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    with rabbit_server() as running:
        yield running


@pytest.fixture(scope="module")
def on_rabbit(broker: RabbitServer) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TROVE_LOCAL_BUS", broker.url)
        config = f"[bus]\nmanagement_url = {broker.management_url}\n"
        config += f"[oslo_messaging_notifications]\ndriver = messagingv2\ntransport_url = {url_of(broker)}\n"
        with stack("--task-managers", "2", config=config) as own:
            yield own


def test_the_story_with_a_broker_user_for_each_guest(on_rabbit: Stack, broker: RabbitServer) -> None:
    assert on_rabbit.status()["services"]["bus"] == {"pid": None, "state": "external", "rss_mib": None, "since": None}
    instance_id = on_rabbit.create("rabbit")
    try:
        tell_the_story(on_rabbit, instance_id, "secret-rabbit")
        assert f"guest-{instance_id}" in users_of(broker)
        (own,) = [one for one in permissions_of(broker) if one["user"] == f"guest-{instance_id}"]
        assert own["configure"] == "^$"
        assert "conductor" not in f"{own['read']}{own['write']}"
        connected = broker.api().get("/api/connections")
        assert isinstance(connected, list)
        assert any(isinstance(one, dict) and one["user"] == f"guest-{instance_id}" for one in connected)
        bootstrap = on_rabbit.root / "cloud" / "servers" / instance_id / "conf.d"
        assert not [path for path in bootstrap.iterdir() if broker.password in path.read_text()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in bootstrap.iterdir())
    finally:
        on_rabbit.delete(instance_id)
    on_rabbit.await_gone(instance_id)
    assert f"guest-{instance_id}" not in users_of(broker)
    assert not [queue for queue in queues_of(broker) if instance_id in queue]


def test_a_consumer_of_notifications_hears_what_happens(on_rabbit: Stack, broker: RabbitServer) -> None:
    with listening(broker) as heard:
        instance_id = on_rabbit.create("heard")
        try:
            on_rabbit.await_healthy(instance_id)
            on_rabbit.client().databases.create(instance_id, [{"name": "more"}])
        finally:
            on_rabbit.delete(instance_id)
        told = []
        while not told or told[-1][1] != "dbaas.instance_delete.end":
            message = heard.next()
            if message[2].get("instance_id") == instance_id:
                told.append(message)
    assert [event_type for _, event_type, _ in told] == [
        "dbaas.instance_create.start",
        "trove.instance.create",
        "dbaas.instance_create.end",
        "dbaas.database_create.start",
        "dbaas.database_create.end",
        "dbaas.instance_delete.start",
        "trove.instance.delete",
        "dbaas.instance_delete.end",
    ]
    publishers = [publisher.partition(".")[0] for publisher, _, _ in told]
    assert publishers == ["trove-api", *2 * ["trove-taskmanager"], *3 * ["trove-api"], *2 * ["trove-taskmanager"]]
    assert told[0][2]["client_ip"] == told[2][2]["client_ip"] == "127.0.0.1"
    assert "secret-heard" not in str(told)


def test_the_broker_killed_in_the_middle_of_a_create(on_rabbit: Stack, broker: RabbitServer) -> None:
    instance_id = on_rabbit.create("bereft")
    try:
        # The worst moment: RabbitMQ does not recover a queue as young as this one.
        await_value(lambda: f"guestagent.{instance_id}" in queues_of(broker), 30.0, "the guest has no queue")
        broker.kill(at_once=True)
        assert (on_rabbit.show(instance_id) or {})["status"] == "BUILD"
        late = on_rabbit.create("asked-without-broker")
        broker.start()
        for one, name in ((instance_id, "bereft"), (late, "asked-without-broker")):
            on_rabbit.await_healthy(one)
            on_rabbit.await_query(one, password=f"secret-{name}")
        assert [user.name for user in on_rabbit.client().users.list(instance_id)] == ["alice"]
    finally:
        for one in (instance_id, late):
            on_rabbit.delete(one)
    for one in (instance_id, late):
        on_rabbit.await_gone(one)


def test_the_broker_restarted_in_the_middle_of_a_restart_and_a_delete(on_rabbit: Stack, broker: RabbitServer) -> None:
    kept, doomed = on_rabbit.create("kept"), on_rabbit.create("doomed")
    try:
        for one in (kept, doomed):
            on_rabbit.await_healthy(one)
        accepted = on_rabbit.request("POST", f"/instances/{kept}/action", {"restart": {}})
        assert accepted.status == 202, accepted.text
        on_rabbit.delete(doomed)
        broker.kill()
        broker.start()
        on_rabbit.await_gone(doomed)
        on_rabbit.await_healthy(kept)
        on_rabbit.await_query(kept, password="secret-kept")
        await_value(lambda: on_rabbit.operations(kept)[0]["state"] == "SUCCEEDED", 60.0, "the restart does not end")
        assert len(on_rabbit.servers(kept)) == 1
    finally:
        for one in (kept, doomed):
            on_rabbit.delete(one)
    on_rabbit.await_gone(kept)
    assert not {f"guest-{kept}", f"guest-{doomed}"} & users_of(broker)


def test_without_management_url_all_guests_share_a_user_and_the_log_says_so(broker: RabbitServer) -> None:
    # Each deployment needs a virtual host of its own: the queues have the same names in all.
    broker.api().put("/api/vhosts/other", {})
    broker.api().put("/api/permissions/other/control", {"configure": ".*", "write": ".*", "read": ".*"})
    with stack("--bus", broker.url.removesuffix("/trove") + "/other") as own:
        instance_id = own.create("shared")
        try:
            own.await_healthy(instance_id)
            assert [user.name for user in own.client().users.list(instance_id)] == ["alice"]
            assert f"guest-{instance_id}" not in users_of(broker)
            assert "INSECURE BUS" in (own.root / "log" / "trove-taskmanager.log").read_text()
        finally:
            own.delete(instance_id)
        own.await_gone(instance_id)


def tell_the_story(own: Stack, instance_id: str, password: str) -> None:
    """SQL over TCP, what the guest tells, a restart."""
    shown = own.await_healthy(instance_id)
    with own.connect(shown, password=password) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO t VALUES (1), (2)")
        connection.commit()
    client = own.client()
    assert [user.name for user in client.users.list(instance_id)] == ["alice"]
    client.databases.create(instance_id, [{"name": "more"}])
    assert [database.name for database in client.databases.list(instance_id)] == ["more", "shop"]
    client.instances.restart(instance_id)
    shown = own.await_healthy(instance_id)
    with own.connect(shown, password=password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM t")
        assert cursor.fetchone() == (2,)


def users_of(broker: RabbitServer) -> set[str]:
    """Return the names of the broker's users."""
    users = broker.api().get("/api/users")
    assert isinstance(users, list)
    return {str(user["name"]) for user in users if isinstance(user, dict)}


def queues_of(broker: RabbitServer) -> set[str]:
    """Return the names of the queues in the virtual host `trove`."""
    queues = broker.api().get("/api/queues/trove")
    assert isinstance(queues, list)
    return {str(queue["name"]) for queue in queues if isinstance(queue, dict)}


def permissions_of(broker: RabbitServer) -> list[dict[str, str]]:
    """Return who may do what."""
    found = broker.api().get("/api/permissions")
    assert isinstance(found, list)
    return [{str(key): str(value) for key, value in one.items()} for one in found if isinstance(one, dict)]


@pytest.mark.parametrize("wrong", ["password", "port", "virtual host"])
def test_a_bus_that_cannot_be_used_fails_at_once_and_says_why(broker: RabbitServer, tmp_path: Path, wrong: str) -> None:
    url = {
        "password": broker.url.replace(broker.password, "mistyped"),
        "port": broker.url.replace(str(broker.port), str(free_port())),
        "virtual host": broker.url + "-absent",
    }[wrong]
    own = Stack(root=tmp_path / "stack", port=free_port())
    done = own.trove_local("up", "--port", str(own.port), "--bus", url, check=False)
    assert done.returncode == 1
    assert "check host, user, password and virtual host of --bus" in done.stderr
    assert "Traceback" not in done.stderr
    assert "mistyped" not in done.stderr
    assert broker.password not in done.stderr
    assert not own.leftovers(own.root.as_posix())
