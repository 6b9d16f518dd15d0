"""One service with a real Keystone for all tests of clients, and the check that doc/clients.json tells what they saw."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients import Clients, clients
from tests.support.clients_shells import Shell
from tests.support.clients_table import RECORD, load, name_of

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one worker of xdist, so that their service is brought up once."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("clients"))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Return the clients of the running service."""
    with clients(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def use(service: Clients, request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Return the clients; afterwards what they hit must be what doc/clients.json says of this test."""
    failed_before, there_before = request.session.testsfailed, instances(service)
    service.recorder.reset()
    yield service
    seen, name = service.recorder.seen(), name_of(request.node)
    left = instances(service) - there_before
    for instance_id, user in left:
        service.remove(instance_id, user=user)
    if request.session.testsfailed > failed_before:
        return
    assert not left, f"{name} left instances behind: {left}"
    if record := os.environ.get(RECORD):
        with Path(record).open("a") as file:
            file.write(json.dumps({name: seen}) + "\n")
        return
    assert seen == load().get(name), (
        f"doc/clients.json tells otherwise of {name}; if this is right, run tools/client_table.py record"
    )


def instances(service: Clients) -> set[tuple[str, str]]:
    """Return the ids of all instances there are, each with a user of its project."""
    users = ("demo", "alt_demo", "admin")
    return {(one["id"], user) for user in users for one in service.get("/instances?limit=20", user=user)["instances"]}


@pytest.fixture(scope="session")
def orders(service: Clients) -> str:
    """Return an instance of demo with database `shop` and user `alice` that every test leaves as it found it."""
    made = service.create("orders")
    service.healthy(made)
    return made


@pytest.fixture
def spare(service: Clients) -> Iterator[str]:
    """Return an instance of demo with database `shop` and user `alice` (password `secret-spare`) to do anything with."""
    made = service.create("spare")
    service.healthy(made)
    yield made
    service.remove(made)


@pytest.fixture(params=["openstack", "trove"])
def shell(request: pytest.FixtureRequest, use: Clients) -> Shell:
    """Return each of the two command line clients."""
    return Shell(name=request.param, use=use)
