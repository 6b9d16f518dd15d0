"""The agent on the memory bus: methods, reports, and what it refuses."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.support.guests import wait_for
from tests.unit.guestagent.conftest import SleepDriver

from trove.bus.contract import CONDUCTOR_TOPIC, Message, guest_topic
from trove.bus.guest import GuestCaller
from trove.bus.memory import MemoryBus
from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, NotFound, Unsupported
from trove.core.json import JSON
from trove.core.pages import Page
from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.guestagent.agent import Agent
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost


def _accept(_: object) -> None:
    return


def _render(_: ConfigInputs) -> str:
    return ""


class Driver(SleepDriver):
    """Databases and users in memory."""

    def __init__(self, host: SandboxedHost) -> None:
        super().__init__(host)
        self.databases: dict[str, Database] = {}
        self.users: dict[tuple[str, str], User] = {}

    def create_databases(self, databases: Sequence[Database]) -> None:
        self.databases |= {database.name: database for database in databases}

    def list_databases(self, *, limit: int, marker: str | None) -> Page[Database]:
        names = sorted(name for name in self.databases if marker is None or name > marker)
        return Page(
            items=tuple(self.databases[name] for name in names[:limit]),
            next_marker=names[limit - 1] if len(names) > limit else None,
        )

    def delete_database(self, name: str) -> None:
        if name not in self.databases:
            raise NotFound(f"Database '{name}' does not exist.")
        del self.databases[name]

    def create_users(self, users: Sequence[User]) -> None:
        self.users |= {(user.name, user.host): user for user in users}

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        return Page(items=tuple(self.users.values())[:limit])

    def get_user(self, name: str, host: str) -> User:
        if (name, host) not in self.users:
            raise NotFound(f"User '{name}@{host}' does not exist.")
        return self.users[name, host]

    def update_user(self, name: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        old = self.users.pop((name, host))
        new = User(name=new_name or name, host=new_host or host, password=password or old.password, databases=old.databases)
        self.users[new.name, new.host] = new

    def grant_access(self, name: str, host: str, databases: Sequence[str]) -> None:
        user = self.get_user(name, host)
        self.users[name, host] = User(name=name, host=host, password=user.password, databases=tuple(databases))


Said = Callable[[str], list[Message]]


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    made = MemoryBus()
    yield made
    made.close()


@pytest.fixture
def said(bus: MemoryBus) -> Said:
    heard: list[Message] = []
    lock = threading.Lock()

    def hear(messages: Sequence[Message]) -> None:
        with lock:
            heard.extend(messages)

    bus.serve_batches(CONDUCTOR_TOPIC, hear)
    return lambda method: [message for message in list(heard) if message.method == method]


@pytest.fixture
def facets() -> frozenset[Facet]:
    return frozenset({Facet.DATABASES, Facet.USERS})


@pytest.fixture
def door(host: SandboxedHost) -> Driver:
    return Driver(host)


@pytest.fixture
def agent(bus: MemoryBus, host: SandboxedHost, door: Driver, facets: frozenset[Facet]) -> Iterator[Agent]:
    spec = Spec(
        manager="sleepdb",
        title="SleepDB",
        tcp_ports=(1,),
        facets=facets,
        root_name="root",
        default_password_length=8,
        usable_versions=("1",),
        check_database=_accept,
        check_user=_accept,
        check_password=_accept,
        render_config=_render,
    )
    guest = bus.as_principal(host.instance_id)
    made = Agent(Engine(spec=spec, driver=door, host=host), guest, version="0", report_interval_s=30)
    made.start(tick_s=0.05)
    yield made
    made.stop()
    guest.close()


@pytest.fixture
def caller(bus: MemoryBus, agent: Agent, host: SandboxedHost) -> GuestCaller:
    return GuestCaller(bus, host.instance_id, timeout_s=30, request_id="req-7")


def test_the_first_heartbeat_comes_at_once(agent: Agent, said: Said, host: SandboxedHost) -> None:
    beat = wait_for(lambda: said("heartbeat"), "a heartbeat")[0]
    assert beat.sender == host.instance_id
    assert beat.args["status"] == "new"
    assert beat.args["agent_version"] == "0"
    assert set(beat.args) == {
        "status",
        "agent_version",
        "datastore_version",
        "restarts",
        "volume_used_bytes",
        "volume_total_bytes",
        "replication",
    }


def test_prepare_converges_on_what_was_asked_for(caller: GuestCaller, said: Said, door: Driver) -> None:
    door.databases["old"] = Database(name="old")
    door.users["u", "%"] = User(name="u", password="former")
    args: dict[str, JSON] = {
        "config": "c",
        "databases": [{"name": "old"}, {"name": "new"}],
        "users": [{"name": "u", "password": "now", "databases": ["new"]}, {"name": "v", "password": "w"}],
    }
    caller.start_job("create", "prepare", args)
    report = wait_for(lambda: [message for message in said("report_job") if message.args["state"] == "DONE"], "the end")[0]
    assert report.request_id == "req-7"
    assert report.args["result"] == {"version": "1.2.3"}
    assert sorted(door.databases) == ["new", "old"]
    assert door.users["u", "%"] == User(name="u", password="now", databases=("new",))
    assert door.users["u", "%"].password == "now"
    wait_for(lambda: said("heartbeat")[-1].args["status"] == "healthy", "health")
    caller.start_job("restart", "restart", {"config": "d"})
    wait_for(
        lambda: [
            message for message in said("report_job") if message.args["name"] == "restart" and message.args["state"] == "DONE"
        ],
        "restart",
    )
    assert door.config == "d"
    caller.start_job("stop", "stop", {})
    wait_for(lambda: said("heartbeat")[-1].args["status"] == "shutdown", "the stop")


def test_typed_calls_reach_the_driver(caller: GuestCaller, door: Driver) -> None:
    caller.rpc_ping()
    assert caller.get_status()["status"] == "new"
    caller.create_database([Database(name=name) for name in "abc"])
    page = caller.list_databases(2)
    assert ([one.name for one in page.items], page.next_marker) == (["a", "b"], "b")
    caller.delete_database("a")
    with pytest.raises(NotFound, match="'a'"):
        caller.delete_database("a")
    caller.create_user([User(name="u", password="p")])
    caller.update_attributes("u", "%", new_name="v")
    caller.change_passwords([User(name="v", password="q")])
    assert door.users["v", "%"].password == "q"
    with pytest.raises(NotFound):
        caller.change_passwords([User(name="v", password="r"), User(name="nobody", password="r")])
    assert door.users["v", "%"].password == "q"
    assert [user.name for user in caller.list_users(10).items] == ["v"]


@pytest.mark.parametrize(
    ("method", "args", "words"),
    [
        ("delete_database", {}, "'name' must be a string"),
        ("delete_database", {"name": 1}, "'name' must be a string"),
        ("create_database", {"databases": ["x"]}, "'databases' must be a list of objects"),
        ("create_database", {"databases": {"name": "x"}}, "'databases' must be a list of objects"),
        ("list_databases", {"limit": 0}, "'limit'"),
        ("list_databases", {"limit": True}, "'limit'"),
        ("list_databases", {"limit": "1"}, "'limit'"),
        ("grant_access", {"username": "u", "databases": [1]}, "list of strings"),
        ("update_attributes", {"username": "u", "user_attrs": []}, "must be an object"),
        ("change_passwords", {"users": [{"name": "u"}]}, "needs a password"),
        ("forget_jobs", {"names": "x"}, "list of strings"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused_by_name(
    bus: MemoryBus, agent: Agent, host: SandboxedHost, method: str, args: dict[str, JSON], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        bus.call(guest_topic(host.instance_id), method, args, timeout_s=30)


def test_an_unknown_method_is_refused(bus: MemoryBus, agent: Agent, host: SandboxedHost) -> None:
    with pytest.raises(GuestError, match="no method 'exec'"):
        bus.call(guest_topic(host.instance_id), "exec", {}, timeout_s=30)


def test_what_the_engine_cannot_is_unsupported(caller: GuestCaller) -> None:
    with pytest.raises(Unsupported, match="SleepDB has no root"):
        caller.enable_root("p")


def test_reports_are_repeated_when_the_bus_was_away(bus: MemoryBus, agent: Agent, caller: GuestCaller, said: Said) -> None:
    wait_for(lambda: said("heartbeat"), "the first heartbeat")
    bus.broker.fail_next(CONDUCTOR_TOPIC, count=1)
    caller.start_job("create", "prepare", {"config": "c"})
    wait_for(lambda: [message for message in said("report_job") if message.args["state"] == "DONE"], "the report")


def test_a_prepare_without_a_configuration_fails_by_name(caller: GuestCaller, said: Said) -> None:
    caller.start_job("create", "prepare", {})
    report = wait_for(lambda: [message for message in said("report_job") if message.args["state"] == "FAILED"], "the end")[0]
    assert "'config'" in str(report.args["error"])


def test_a_stopped_server_stays_stopped_until_it_is_started(caller: GuestCaller, said: Said, door: Driver) -> None:
    def done(name: str) -> None:
        wait_for(
            lambda: [each for each in said("report_job") if (each.args["name"], each.args["state"]) == (name, "DONE")], name
        )

    caller.start_job("create", "prepare", {"config": "c"})
    done("create")
    caller.start_job("stop", "stop", {})
    done("stop")
    wait_for(lambda: said("heartbeat")[-1].args["status"] == "shutdown", "the stop")
    with pytest.raises(GuestError, match="does not run"):
        caller.get_diagnostics()
    assert door.starts == 1
    for name in ("start", "again"):
        caller.start_job(name, "start", {})
        done(name)
    assert door.starts == 2
    told = caller.get_diagnostics()
    assert set(told) == {"version", "threads", "fdSize", "vmSize", "vmPeak", "vmRss", "vmHwm"}
    assert (told["version"], told["threads"]) == ("1.2.3", 1)


def test_hardware_is_told_without_a_server(caller: GuestCaller) -> None:
    told = caller.get_hwinfo()
    assert set(told) == {"mem_total", "num_cpus"}
    assert 0 < int(str(told["mem_total"])) <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    assert 1 <= int(str(told["num_cpus"])) <= (os.cpu_count() or 1)
