"""The commands about logs of the servers and about TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import keystone as keystones
from tests.support.certificates import Authority
from tests.support.clients import Clients
from tests.support.clients_shells import Shell
from tests.support.clients_swift import swift
from tests.support.key_manager import barbican
from tests.support.pkcs12_files import pkcs12_of

SECRET = "http://127.0.0.1:9311/v1/secrets/c0ffee00-0000-4000-8000-00000000000e"
ON = {"Enabled", "Ready"}


@pytest.fixture
def chatty(use: Clients, spare: str) -> Iterator[str]:
    """Return an instance whose general log is discarded afterwards."""
    yield spare
    assert use.ask("POST", f"/instances/{spare}/log", {"name": "general", "disable": 1, "discard": 1})[0] == 200


@pytest.fixture
def readable(service: Clients) -> Iterator[None]:
    """Let Keystone's catalogue have an object store with what the stack published."""
    with swift(service.stack.root / "objects") as url:
        remove = keystones.offer(service.keystone.url, "object-store", url)
        yield
        remove()


def general(use: Clients, instance: str) -> Any:
    """Return what the service says of the general log."""
    return next(log for log in use.get(f"/instances/{instance}/log")["logs"] if log["name"] == "general")


def say(use: Clients, instance: str, word: str) -> None:
    """Let the word stand in the general log."""
    use.sql(instance, f"SELECT '{word}'", user="alice", password="secret-spare")


def test_the_logs_of_a_server_are_listed_and_shown(shell: Shell, orders: str) -> None:
    rows = {row["name"]: row for row in shell.shown("database log list", orders)}
    assert set(rows) == {"general", "slow_query"}
    assert (rows["general"]["type"], rows["general"]["status"]) == ("USER", "Disabled")
    shown = shell.shown("database log show", orders, "general")
    assert (shown["name"], shown["published"], shown["container"]) == ("general", 0, "None")
    assert "guest" in {row["name"] for row in shell.shown("database log list", orders, user="admin")}


def test_openstack_enables_publishes_discards_and_disables_a_log(use: Clients, chatty: str) -> None:
    assert use.shown("database log set", chatty, "general", "--enable")["status"] in ON
    assert use.sql(chatty, "SELECT @@general_log", user="alice", password="secret-spare") == [(1,)]
    say(use, chatty, "hello")
    published = use.shown("database log set", chatty, "general", "--publish")
    assert published["published"] > 0
    assert published["container"] == "database_logs"
    assert use.shown("database log set", chatty, "general", "--discard")["published"] == 0
    assert use.shown("database log set", chatty, "general", "--disable")["status"] == "Disabled"
    assert use.sql(chatty, "SELECT @@general_log", user="alice", password="secret-spare") == [(0,)]


def test_the_older_client_enables_publishes_and_discards_a_log(use: Clients, chatty: str) -> None:
    assert use.told("log-enable", chatty, "general")["status"] in ON
    say(use, chatty, "hello")
    assert use.told("log-publish", chatty, "general")["published"] > 0
    assert use.told("log-discard", chatty, "general")["published"] == 0
    assert "AttributeError" in use.trove("log-disable", chatty, "general", status=1).said  # It stumbles over itself.
    assert general(use, chatty)["status"] != "Disabled"


def test_a_published_log_is_read_out_of_the_object_store(shell: Shell, chatty: str, readable: None, tmp_path: Path) -> None:
    for word in ("hello-one", "hello-two"):
        assert shell.use.ask("POST", f"/instances/{chatty}/log", {"name": "general", "enable": 1})[0] == 200
        say(shell.use, chatty, word)
        assert shell.use.ask("POST", f"/instances/{chatty}/log", {"name": "general", "publish": 1})[0] == 200
    assert "hello-two" in shell.run("database log tail", chatty, "general").stdout
    file = tmp_path / "general.log"
    assert str(file) in shell.run("database log save", chatty, "general", "--file", str(file)).stdout
    text = file.read_text()
    assert 0 < text.index("hello-one") < text.index("hello-two")


def test_tls_needs_a_key_manager_to_be_enabled(use: Clients, orders: str) -> None:
    assert use.shown("database ssl show", orders) == {"mode": "builtin", "status": "off"}
    use.openstack("database ssl enable", orders, SECRET, "--mode", "enforced", status=1)
    assert use.recorder.last("POST").status == 501
    use.openstack("database ssl rollback", orders, status=1)
    assert use.recorder.last("POST").status == 400


def test_tls_is_enabled_shown_rolled_back_and_disabled(use: Clients, service: Clients, spare: str) -> None:
    authority = Authority()
    made = authority.issue("db")
    with barbican(service.keystone) as keys:
        token = keys.token()
        ref, word = keys.store(token, pkcs12_of(made, authority, b"sesame")), keys.store(token, b"sesame", binary=False)
        assert use.shown("database ssl enable", spare, ref, "--password_ref", word)["restart_required"] is True
        shown = use.shown("database ssl show", spare, "--include-certificate")
        assert (shown["status"], shown["mode"], shown["certificate.payload"]) == ("on", "basic", made.certificate)
        assert use.shown("database ssl rollback", spare)["status"] == "off"
    # To disable it, no key manager is needed.
    assert use.shown("database ssl disable", spare)["restart_required"] is False
