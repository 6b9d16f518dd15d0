"""The same service on other parts: RabbitMQ, MariaDB or PostgreSQL for the state, Keystone for the identities."""

import os
import subprocess

from tests.support import keystone as keystones
from tests.support.mariadb_server import mariadb_server
from tests.support.postgresql_server import postgresql_server
from tests.support.rabbitmq import rabbit_server
from tests.support.stack import BIN, Stack, free_port, stack


def test_rabbitmq_and_a_mariadb_state_database() -> None:
    with rabbit_server() as broker, mariadb_server() as database:
        database.recreate("trove")
        config = f"[bus]\nmanagement_url = {broker.management_url}\n"
        with stack("--bus", broker.url, "--database", database.url("trove"), config=config) as own:
            _create_kill_and_delete(own)
            assert own.status()["services"]["bus"] == {"pid": None, "state": "external", "rss_mib": None, "since": None}


def test_a_postgresql_state_database() -> None:
    with postgresql_server() as database:
        database.recreate("trove")
        with stack("--database", database.url("trove")) as own:
            _create_kill_and_delete(own)


def test_a_real_keystone() -> None:
    port = free_port()
    with keystones.keystone(trove_url=f"http://127.0.0.1:{port}") as keystone:
        options = ("--auth-url", keystone.url, "--auth-user", "trove", "--auth-project", "service")
        with stack(*options, "--auth-password", keystones.SERVICE_PASSWORD, port=port) as own:
            assert own.environment()["OS_AUTH_TYPE"] == "password"
            environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | {
                "OS_AUTH_URL": keystone.url,
                "OS_USERNAME": "demo",
                "OS_PASSWORD": keystones.DEMO_PASSWORD,
                "OS_PROJECT_NAME": "demo",
                "OS_USER_DOMAIN_ID": "default",
                "OS_PROJECT_DOMAIN_ID": "default",
                "OS_IDENTITY_API_VERSION": "3",
            }
            argv = [BIN / "openstack", "database", "flavor", "list", "-f", "value", "-c", "Name"]
            done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
            assert "db.tiny" in done.stdout, done.stderr
            environ["OS_PASSWORD"] = "wrong"
            assert subprocess.run(argv, env=environ, capture_output=True, check=False).returncode != 0


def _create_kill_and_delete(own: Stack) -> None:
    instance_id = own.create("elsewhere")
    own.kill("trove-taskmanager")
    own.await_healthy(instance_id)
    own.await_query(instance_id, password="secret-elsewhere")
    own.delete(instance_id)
    own.await_gone(instance_id)
