"""On the real stack with a real MariaDB: a configuration group works at once, or after a restart, and harms no server."""

import json
from typing import Any

from tests.journeys.test_resize import NAME, await_answer, instance_with_rows, query
from tests.support.stack import Stack, await_value

CONNECTIONS, WORDS = "SELECT @@max_connections", "SELECT @@ft_min_word_len"


def shown(stack: Stack, instance_id: str) -> dict[str, Any]:
    found = stack.show(instance_id)
    assert found is not None
    return found


def await_status(stack: Stack, instance_id: str, status: str) -> None:
    """Wait until nothing is being done to the instance, and its status is the wanted one."""

    def is_so() -> bool:
        (last, *_) = stack.operations(instance_id)
        return bool(last["finished"] and shown(stack, instance_id)["status"] == status)

    await_value(is_so, 60.0, f"the status did not become {status}: {shown(stack, instance_id)}\n{stack.tails()}")


def test_a_group_is_attached_changed_and_detached(shared: Stack) -> None:
    values = {"max_connections": 55, "ft_min_word_len": 6}
    words = ("--datastore", "mariadb", "--datastore-version", "10.11", "-f", "json")
    made = shared.openstack("database", "configuration", "create", "tuned", json.dumps(values), *words)
    group = json.loads(made.stdout)["id"]
    with instance_with_rows(shared) as instance:
        default = query(shared, instance, CONNECTIONS)
        shared.openstack("database", "configuration", "attach", instance, group)
        await_status(shared, instance, "RESTART_REQUIRED")
        assert shown(shared, instance)["configuration"]["name"] == "tuned"
        await_answer(shared, instance, CONNECTIONS, 55)
        assert query(shared, instance, WORDS) == 4

        shared.openstack("database", "instance", "restart", instance)
        await_status(shared, instance, "ACTIVE")
        await_answer(shared, instance, WORDS, 6)
        assert query(shared, instance, CONNECTIONS) == 55

        shared.openstack("database", "configuration", "set", group, json.dumps({**values, "max_connections": 60}))
        await_status(shared, instance, "ACTIVE")
        await_answer(shared, instance, CONNECTIONS, 60)

        reply = shared.request("PATCH", f"/configurations/{group}", {"configuration": {"values": {"sql_mode": "NONSENSE"}}})
        assert reply.status == 200
        await_status(shared, instance, "ACTIVE")
        assert "NONSENSE" in shown(shared, instance)["fault"]["message"]
        assert query(shared, instance, CONNECTIONS) == 60
        # The server is restarted, but with what it is known to start with.
        shared.openstack("database", "instance", "restart", instance)
        await_status(shared, instance, "ACTIVE")
        assert "NONSENSE" in shown(shared, instance)["fault"]["message"]
        await_answer(shared, instance, CONNECTIONS, 60)

        shared.openstack("database", "configuration", "detach", instance)
        await_status(shared, instance, "RESTART_REQUIRED")
        await_answer(shared, instance, CONNECTIONS, default)
        assert query(shared, instance, WORDS) == 6
        shared.openstack("database", "instance", "restart", instance)
        await_status(shared, instance, "ACTIVE")
        await_answer(shared, instance, WORDS, 4)
        assert query(shared, instance, "SELECT COUNT(*) FROM kept") == 1000
        assert "fault" not in shown(shared, instance)
    shared.openstack("database", "configuration", "delete", group)
    assert NAME not in shared.openstack("database", "configuration", "list").stdout
