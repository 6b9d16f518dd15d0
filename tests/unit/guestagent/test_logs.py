"""Logs on a guest: what is told of them, and that what is published is the log, each byte once, whatever dies."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.clock import utcnow
from trove.core.errors import InvalidInput, NotFound, Unavailable
from trove.core.json import JSON
from trove.core.logs import LogType, home_of, metafile_of
from trove.core.tickets import Ticket, Verb
from trove.datastores.contract import Facet
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.logs import GuestLogs
from trove.objectstore.memory import MemoryObjectStore

CONTAINER, LIMIT = "database_logs", 100
HOME = home_of("i1", "mariadb", "general")


class Driver(SleepDriver):
    """Two logs in files; one of them is switched."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.enabled = False

    def log_file(self, name: str) -> Path:
        return self.host.log_dir / f"{name}.log"

    def log_enabled(self, name: str) -> bool:
        return self.enabled

    def enable_log(self, name: str, *, enabled: bool) -> None:
        self.enabled = enabled


class Store:
    """An object store that breaks when told to."""

    def __init__(self) -> None:
        self.objects = MemoryObjectStore()
        self.puts = 0
        self.dies_after: int | None = None

    def put(self, ticket: Ticket, name: str, content: bytes, *, metadata: Mapping[str, str], attempts: int) -> None:
        assert attempts >= 1
        self.objects.put_by(ticket.url_of(name), content)
        self.puts += 1
        if metadata:
            assert metadata == {"lines": str(len(content.splitlines()))}
        if self.puts == self.dies_after:
            raise Unavailable("The object store is away.")

    def published(self) -> bytes:
        names = [each.name for each in self.objects.list(CONTAINER, prefix=f"{HOME}/")]
        return b"".join(b"".join(self.objects.get(CONTAINER, name)) for name in names)

    def sizes(self) -> list[int]:
        return [each.size for each in self.objects.list(CONTAINER, prefix=f"{HOME}/")]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def driver(host: SandboxedHost) -> Driver:
    return Driver(host)


@pytest.fixture
def logs(host: SandboxedHost, driver: Driver, store: Store) -> GuestLogs:
    spec = replace(SPEC, facets=frozenset({Facet.LOGS}), logs={"general": LogType.USER, "error": LogType.SYS})
    return GuestLogs(Engine(spec=spec, driver=driver, host=host), put=store.put)


def order(store: Store, **changes: JSON) -> dict[str, JSON]:
    ticket = store.objects.ticket(CONTAINER, HOME, Verb.PUT, expires=utcnow() + timedelta(minutes=5))
    return {"ticket": ticket.to_json(), "home": HOME, "limit": LIMIT, "budget_s": 60.0, **changes}


def act(logs: GuestLogs, name: str = "general", **deeds: JSON) -> Mapping[str, JSON]:
    told = logs.act({"log_name": name, **deeds})
    assert isinstance(told, Mapping)
    return told


def told(logs: GuestLogs, name: str = "general") -> tuple[JSON, JSON, JSON]:
    listed = logs.list({})
    assert isinstance(listed, list)
    (found,) = [each for each in listed if isinstance(each, Mapping) and each["name"] == name]
    return found["status"], found["published"], found["pending"]


def write(driver: Driver, text: str, name: str = "general") -> None:
    with driver.log_file(name).open("a") as file:
        file.write(text)


def test_what_is_told_of_a_log_through_its_life(logs: GuestLogs, driver: Driver, store: Store) -> None:
    assert told(logs) == ("Disabled", 0, 0)
    assert act(logs, enable=True)["status"] == "Enabled"
    write(driver, "a line\n")
    assert told(logs) == ("Ready", 0, 7)
    assert act(logs, publish=order(store))["status"] == "Published"
    write(driver, "more\n")
    assert told(logs) == ("Partial", 7, 5)
    driver.log_file("general").write_text("new\n")
    assert told(logs) == ("Rotated", 7, 4)
    act(logs, publish=order(store))
    assert told(logs) == ("Published", 4, 0)
    driver.log_file("general").write_text("other file with another beginning\n")
    assert told(logs)[0] == "Rotated"
    assert act(logs, discard=True)["published"] == 0
    assert told(logs) == ("Ready", 0, 34)
    assert act(logs, disable=True)["status"] == "Disabled"


def test_publishing_enables(logs: GuestLogs, driver: Driver, store: Store) -> None:
    assert act(logs, publish=order(store))["status"] == "Enabled"
    assert driver.enabled
    assert store.published() == b""


def test_pieces_have_the_names_that_are_told_and_end_with_them(logs: GuestLogs, driver: Driver, store: Store) -> None:
    driver.enabled = True
    write(driver, "".join(f"line {number:03}\n" for number in range(60)))
    names: JSON = [f"{HOME}/log-{number}" for number in range(2)]
    assert act(logs, publish=order(store, names=names))["status"] == "Partial"
    assert [each.name for each in store.objects.list(CONTAINER, prefix=f"{HOME}/")] == names
    more: JSON = [f"{HOME}/log-{number}" for number in range(2, 9)]
    assert act(logs, publish=order(store, names=more))["status"] == "Published"
    assert store.published().count(b"\n") == 60


def test_a_log_is_published_in_pieces_that_end_with_lines_where_they_can(logs: GuestLogs, driver: Driver, store: Store) -> None:
    driver.enabled = True
    text = "".join(f"line {number}\n" for number in range(40)) + "x" * 250 + "\nan end without a line"
    write(driver, text)
    act(logs, publish=order(store))
    assert store.published() == text.encode()
    assert max(store.sizes()) <= LIMIT
    about = json.loads(b"".join(store.objects.get(CONTAINER, metafile_of(HOME))))
    assert (about["log_name"], about["log_type"], about["log_file"]) == ("general", "USER", "general.log")
    assert about["log_size"] == len(text)
    write(driver, "!\n")
    act(logs, publish=order(store))
    assert store.published() == f"{text}!\n".encode()


@pytest.mark.parametrize("dies_after", [1, 2, 3])
def test_whenever_it_dies_each_byte_is_there_once(
    logs: GuestLogs, driver: Driver, store: Store, host: SandboxedHost, dies_after: int
) -> None:
    driver.enabled = True
    text = "".join(f"line {number}\n" for number in range(40))
    write(driver, text)
    store.dies_after = dies_after
    with pytest.raises(Unavailable):
        act(logs, publish=order(store))
    write(driver, "last\n")
    again = GuestLogs(logs._engine, put=store.put)
    act(again, publish=order(store))
    assert store.published() == f"{text}last\n".encode()


def test_it_stops_when_its_time_is_over_and_goes_on_the_next_time(logs: GuestLogs, driver: Driver, store: Store) -> None:
    driver.enabled = True
    write(driver, "0123456789\n" * 30)
    assert act(logs, publish=order(store, budget_s=0))["status"] == "Partial"
    assert len(store.sizes()) == 1
    assert act(logs, publish=order(store))["status"] == "Published"
    assert store.published() == b"0123456789\n" * 30


def test_system_logs_are_always_written(logs: GuestLogs, driver: Driver) -> None:
    assert told(logs, "error") == ("Unavailable", 0, 0)
    write(driver, "[ERROR] x\n", "error")
    assert told(logs, "error") == ("Ready", 0, 10)
    for deed in ("enable", "disable"):
        with pytest.raises(InvalidInput, match="always written"):
            act(logs, "error", **{deed: True})


def test_the_agents_own_log_is_one_of_them(logs: GuestLogs) -> None:
    assert told(logs, "guest")[0] in {"Ready", "Enabled", "Unavailable"}
    with pytest.raises(NotFound, match="general, error, guest"):
        act(logs, "nosuch")


def test_a_ticket_for_other_objects_is_of_no_use(logs: GuestLogs, driver: Driver, store: Store) -> None:
    driver.enabled = True
    write(driver, "x\n")
    with pytest.raises(InvalidInput, match="ticket is for"):
        act(logs, publish=order(store, home="i2/mariadb-general"))
    assert store.objects.list(CONTAINER) == []
