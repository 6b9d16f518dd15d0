from collections.abc import Mapping

import pytest

from trove.bus.conductor import ConductorCaller, RootReport, parse
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, TASKMANAGER_TOPIC, Message, guest_topic
from trove.bus.guest import GuestCaller
from trove.bus.memory import MemoryBus
from trove.bus.taskmanager import BusAnnouncer, TaskManagerCaller
from trove.core.accounts import Database, User
from trove.core.clock import utcnow
from trove.core.errors import GuestError, Refused
from trove.core.ids import new_id
from trove.core.instances import Heartbeat, Job
from trove.core.json import JSON
from trove.core.pages import Page
from trove.core.replication import ReplicaState
from trove.core.status import ServiceStatus
from trove.core.tls import Tls, TlsMode

GUEST = new_id()


class Script:
    """A guest that answers what the test says and keeps what it was asked."""

    def __init__(self, bus: MemoryBus, answer: JSON = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Mapping[str, JSON]]] = []
        self.subscription = bus.as_principal(GUEST).serve(guest_topic(GUEST), self._handle, workers=1)

    def _handle(self, message: Message) -> JSON:
        self.asked.append((message.method, message.args))
        return self.answer


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


def caller(bus: MemoryBus) -> GuestCaller:
    return GuestCaller(bus, GUEST, timeout_s=10)


ANN = User(name="ann", host="%", password="sesame", databases=("shop",))
ANN_JSON = {"name": "ann", "host": "%", "password": "sesame", "databases": ["shop"]}
SHOP = Database(name="shop", character_set="utf8mb4", collate=None)
SHOP_JSON = {"name": "shop", "character_set": "utf8mb4", "collate": None}


@pytest.mark.parametrize(
    ("method", "args", "asked"),
    [
        ("rpc_ping", (), {}),
        ("create_database", ([SHOP],), {"databases": [SHOP_JSON]}),
        ("delete_database", ("shop",), {"name": "shop"}),
        ("create_user", ([ANN],), {"users": [ANN_JSON]}),
        ("change_passwords", ([ANN],), {"users": [ANN_JSON]}),
        ("delete_user", ("ann", "%"), {"username": "ann", "hostname": "%"}),
        ("grant_access", ("ann", "%", ["shop"]), {"username": "ann", "hostname": "%", "databases": ["shop"]}),
        ("revoke_access", ("ann", "%", "shop"), {"username": "ann", "hostname": "%", "database": "shop"}),
        ("enable_root", ("sesame",), {"root_password": "sesame"}),
        ("disable_root", (), {}),
    ],
)
def test_deeds_of_the_guest(bus: MemoryBus, method: str, args: tuple[object, ...], asked: Mapping[str, JSON]) -> None:
    script = Script(bus)
    assert getattr(caller(bus), method)(*args) is None
    assert script.asked == [(method, asked)]
    bus.close()
    script.subscription.stop()


def test_only_what_changes_is_sent(bus: MemoryBus) -> None:
    script = Script(bus)
    caller(bus).update_attributes("ann", "%", new_name="bob", password="sesame")
    assert script.asked == [
        ("update_attributes", {"username": "ann", "hostname": "%", "user_attrs": {"name": "bob", "password": "sesame"}})
    ]
    script.subscription.stop()


def test_lists_come_as_pages(bus: MemoryBus) -> None:
    script = Script(bus, {"items": [SHOP_JSON], "next_marker": "shop"})
    assert caller(bus).list_databases(1, None) == Page(items=(SHOP,), next_marker="shop")
    script.answer = {"items": [ANN_JSON], "next_marker": None}
    assert caller(bus).list_users(20, "aaa@%") == Page(items=(ANN,))
    assert script.asked[-1] == ("list_users", {"limit": 20, "marker": "aaa@%"})
    script.subscription.stop()


def test_other_answers(bus: MemoryBus) -> None:
    script = Script(bus, ANN_JSON)
    assert caller(bus).get_user("ann", "%") == ANN
    script.answer = ["shop", "crm"]
    assert caller(bus).list_access("ann", "%") == ("shop", "crm")
    script.answer = True
    assert caller(bus).is_root_enabled() is True
    script.answer = {"status": "healthy"}
    assert caller(bus).get_status() == {"status": "healthy"}
    script.subscription.stop()


def test_tls_is_applied(bus: MemoryBus) -> None:
    tls = Tls(mode=TlsMode.MTLS, certificate="c", chain="a", key="k")
    script = Script(bus, {"restart_required": True})
    assert caller(bus).ssl_action(tls) is True
    script.answer = {"restart_required": False}
    assert caller(bus).ssl_action(None) is False
    assert script.asked == [
        ("ssl_action", {"tls": {"mode": "mtls", "certificate": "c", "chain": "a", "key": "k"}}),
        ("ssl_action", {"tls": None}),
    ]
    script.subscription.stop()


@pytest.mark.parametrize("answer", [None, 7, {}, {"restart_required": 1}])
def test_a_malformed_answer_about_tls_is_a_guest_error(bus: MemoryBus, answer: JSON) -> None:
    script = Script(bus, answer)
    try:
        with pytest.raises(GuestError, match="form that is not understood"):
            caller(bus).ssl_action(None)
    finally:
        script.subscription.stop()


@pytest.mark.parametrize(
    "answer", [None, 7, "text", [1], [{}], {"items": 1}, {"items": [1]}, {"items": [], "next_marker": 7}, {}]
)
@pytest.mark.parametrize("method", ["list_databases", "list_users", "get_user", "list_access", "is_root_enabled"])
def test_a_malformed_answer_is_a_guest_error(bus: MemoryBus, method: str, answer: JSON) -> None:
    script = Script(bus, answer)
    args: tuple[object, ...] = {"list_databases": (5, None), "list_users": (5, None), "is_root_enabled": ()}.get(
        method, ("ann", "%")
    )
    try:
        with pytest.raises(GuestError, match="form that is not understood"):
            getattr(caller(bus), method)(*args)
    finally:
        script.subscription.stop()


def test_jobs_are_cast(bus: MemoryBus) -> None:
    script = Script(bus)
    caller(bus).start_job("op-1", "prepare", {"config": "x"})
    caller(bus).forget_jobs(["op-1"])
    caller(bus).rpc_ping()
    assert script.asked[:2] == [
        ("start_job", {"name": "op-1", "kind": "prepare", "args": {"config": "x"}}),
        ("forget_jobs", {"names": ["op-1"]}),
    ]
    script.subscription.stop()


def sent_by_guest(bus: MemoryBus) -> Message:
    received: list[Message] = []
    subscription = bus.serve(CONDUCTOR_TOPIC, received.append, workers=1)
    bus.call(CONDUCTOR_TOPIC, "barrier", {}, timeout_s=10)
    subscription.stop()
    return received[0]


def test_a_heartbeat_arrives_whole(bus: MemoryBus) -> None:
    heartbeat = Heartbeat(
        instance_id=GUEST,
        sent=utcnow(),
        status=ServiceStatus.HEALTHY,
        agent_version="1.0",
        datastore_version="10.11.19",
        restarts=2,
        volume_used_bytes=2**40,
        volume_total_bytes=2**41,
        replica_state=ReplicaState(following=False, lag_s=1.5, problem="The source has purged what it needs."),
    )
    ConductorCaller(bus.as_principal(GUEST)).heartbeat(heartbeat)
    message = sent_by_guest(bus)
    parsed = parse(message)
    assert isinstance(parsed, Heartbeat)
    assert parsed.sent == message.sent
    assert parsed == Heartbeat(**{**{name: getattr(heartbeat, name) for name in Heartbeat.__slots__}, "sent": message.sent})


def test_a_job_report_arrives_whole(bus: MemoryBus) -> None:
    job = Job(instance_id=GUEST, name="op-1", kind="prepare", state="RUNNING", sent=utcnow(), percent=50, step="start")
    ConductorCaller(bus.as_principal(GUEST)).report_job(job, result={"port": 3306})
    parsed = parse(sent_by_guest(bus))
    assert isinstance(parsed, Job)
    assert (parsed.instance_id, parsed.name, parsed.state, parsed.percent, parsed.result) == (
        GUEST,
        "op-1",
        "RUNNING",
        50,
        {"port": 3306},
    )


def test_a_root_report_arrives(bus: MemoryBus) -> None:
    ConductorCaller(bus.as_principal(GUEST)).report_root("root")
    assert parse(sent_by_guest(bus)) == RootReport(instance_id=GUEST, user="root")


def report(method: str, sender: str = GUEST, **args: JSON) -> Message:
    return Message(sender=sender, method=method, args=args, sent=utcnow())


GOOD_JOB: dict[str, JSON] = {"name": "op-1", "kind": "prepare", "state": "DONE", "percent": 100}


@pytest.mark.parametrize(
    "message",
    [
        report("format_disk"),
        report("heartbeat"),
        report("heartbeat", status="splendid"),
        report("heartbeat", status="healthy", replication=[]),
        report("heartbeat", status="healthy", replication={"following": 1}),
        report("heartbeat", status="healthy", replication={"following": True, "lag_s": -1}),
        report("heartbeat", status="healthy", replication={"following": True, "lag_s": float("nan")}),
        report("heartbeat", status="healthy", replication={"following": True, "lag_s": "0"}),
        report("heartbeat", status="healthy", replication={"following": False, "problem": "x" * 1001}),
        report("heartbeat", status="healthy", replication={"following": False, "problem": "\x00"}),
        report("heartbeat", status=7),
        report("heartbeat", status="healthy", restarts=-1),
        report("heartbeat", status="healthy", restarts=True),
        report("heartbeat", status="healthy", restarts="3"),
        report("heartbeat", status="healthy", volume_used_bytes=2**63),
        report("heartbeat", status="healthy", volume_used_bytes=1.5),
        report("heartbeat", status="healthy", agent_version="x" * 256),
        report("heartbeat", status="healthy", agent_version="x\0"),
        report("heartbeat", CONTROL, status="healthy"),
        report("report_job", **{**GOOD_JOB, "state": "LOST"}),
        report("report_job", **{**GOOD_JOB, "percent": 101}),
        report("report_job", **{**GOOD_JOB, "name": ""}),
        report("report_job", **{**GOOD_JOB, "name": ["x"]}),
        report("report_job", **{**GOOD_JOB, "result": [1]}),
        report("report_job", **{**GOOD_JOB, "error": "x" * 10_000}),
        report("report_root"),
        report("report_root", user={"a": 1}),
    ],
)
def test_malformed_reports_are_refused(message: Message) -> None:
    with pytest.raises(Refused):
        parse(message)


def test_an_announcement_never_raises(bus: MemoryBus) -> None:
    announcer = BusAnnouncer(bus)
    bus.broker.fail_next(TASKMANAGER_TOPIC)
    announcer.announce("op-1")
    announcer.announce("op-2")
    TaskManagerCaller(bus).run_operation("op-3", request_id="req-3")
    received: list[Message] = []
    subscription = bus.serve(TASKMANAGER_TOPIC, received.append, workers=1)
    bus.call(TASKMANAGER_TOPIC, "barrier", {}, timeout_s=10)
    subscription.stop()
    assert [(each.method, each.args) for each in received[:-1]] == [
        ("run_operation", {"operation_id": "op-2"}),
        ("run_operation", {"operation_id": "op-3"}),
    ]
    assert received[1].request_id == "req-3"
