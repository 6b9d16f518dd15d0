"""On the real stack: an administrator looks at another project's MariaDB, stops, reboots and rebuilds it; its rows stay."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
from tests.support.stack import Stack, await_value
from troveclient.v1 import accounts, diagnostics, hosts, storage

NAME = "managed"


@contextmanager
def instance_with_rows(stack: Stack) -> Iterator[str]:
    """Build an instance of an ordinary user that holds rows; afterwards it is gone."""
    instance_id = stack.create(NAME, user="demo")
    try:
        shown = stack.await_healthy(instance_id, user="demo")
        with stack.connect(shown, password=f"secret-{NAME}") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(100)])
            connection.commit()
        yield instance_id
    finally:
        stack.delete(instance_id, user="demo")
        stack.await_gone(instance_id, user="demo")


def rows(stack: Stack, instance_id: str) -> int | None:
    """Return how many rows there are, None while the database does not answer."""
    with suppress(pymysql.err.Error):
        shown = stack.show(instance_id)
        assert shown is not None
        with stack.connect(shown, password=f"secret-{NAME}") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM kept")
            return int(cursor.fetchall()[0][0])
    return None


def await_state(stack: Stack, instance_id: str, status: str, operating: str) -> None:
    def there() -> bool:
        shown = stack.show(instance_id)
        assert shown is not None
        assert shown["status"] != "ERROR", shown
        return bool((shown["status"], shown["operating_status"]) == (status, operating))

    await_value(there, 120.0, f"the instance did not become {status} and {operating}\n{stack.tails()}")


def kinds(stack: Stack, instance_id: str) -> list[tuple[str, str]]:
    return [(each["kind"], each["state"]) for each in stack.operations(instance_id)]


def test_an_administrator_manages_another_projects_database_with_the_real_client(shared: Stack) -> None:
    client: Any = shared.client()
    with instance_with_rows(shared) as instance_id:
        seen = client.mgmt_instances.show(instance_id)
        assert (seen.tenant_id, seen.deleted, seen.service_status) == (shared.project("demo"), False, "HEALTHY")
        (host,) = hosts.Hosts(client).index()
        assert seen.server["host"] == host.name
        assert instance_id in [each["uuid"] for each in hosts.Hosts(client).get(host).instances]
        assert instance_id in accounts.Accounts(client).show(shared.project("demo")).instance_ids
        assert storage.StorageInfo(client).index()[0].provision["percent"] > 0
        assert client.mgmt_instances.root_enabled_history(instance_id).enabled == "Never"
        told = diagnostics.DiagnosticsInterrogator(client).get(instance_id)
        assert told.version.startswith("10.") or told.version.startswith("11.")
        assert told.vmPeak >= told.vmSize > told.vmRss > 10_000
        hardware = shared.request("GET", f"/mgmt/instances/{instance_id}/hwinfo").body["hwinfo"]
        assert hardware["num_cpus"] >= 1
        assert hardware["mem_total"] > 100_000
        assert shared.request("GET", f"/mgmt/instances/{instance_id}/rpc_ping").status == 204

        client.mgmt_instances.stop(instance_id)
        await_state(shared, instance_id, "ACTIVE", "SHUTDOWN")
        assert rows(shared, instance_id) is None
        assert shared.request("GET", f"/mgmt/instances/{instance_id}/diagnostics").status == 400
        shared.client("demo").instances.restart(instance_id)
        await_state(shared, instance_id, "ACTIVE", "HEALTHY")
        assert rows(shared, instance_id) == 100

        client.mgmt_instances.reboot(instance_id)
        await_state(shared, instance_id, "ACTIVE", "HEALTHY")
        await_value(lambda: rows(shared, instance_id) == 100, 60.0, "the rows are there after a reboot")
        client.mgmt_instances.rebuild(instance_id, "host")
        await_state(shared, instance_id, "ACTIVE", "HEALTHY")
        assert rows(shared, instance_id) == 100
        refused = shared.request("POST", f"/mgmt/instances/{instance_id}/action", {"migrate": {}})
        assert (refused.status, host.name in refused.text) == (501, True)
        done = [("instance." + verb, "SUCCEEDED") for verb in ("rebuild", "reboot", "restart", "stop", "create")]
        assert kinds(shared, instance_id) == done
    gone = [each for each in client.mgmt_instances.list(deleted=True) if each.id == instance_id]
    assert [(each.deleted, each.server, each.status) for each in gone] == [(True, None, "SHUTDOWN")]
