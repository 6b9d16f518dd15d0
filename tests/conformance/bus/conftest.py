import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.rabbitmq import RabbitServer, rabbit_server
from tests.support.valkey import ValkeyServer, valkey_server

from trove.bus import rpc
from trove.bus.admission import RabbitAdmission, SharedAdmission, ValkeyAdmission, admission
from trove.bus.contract import CONTROL, Bus, guest_topic
from trove.bus.links import POISON_SUFFIX, Delivery, Endpoint, Link
from trove.bus.memory import Broker, MemoryBus
from trove.bus.sealing import FixedKeys

CONTROL_KEY = b"c" * 32
ROOT = Path(__file__).parents[3]


def guest_key(instance_id: str) -> bytes:
    return uuid.UUID(instance_id).bytes * 2


class TestKeys:
    """The control plane's keyring: all guests that were not deleted."""

    __test__ = False

    def __init__(self) -> None:
        self.unknown: set[str] = set()

    def key(self, principal: str) -> bytes:
        if principal == CONTROL:
            return CONTROL_KEY
        if principal in self.unknown:
            return FixedKeys({}).key(principal)
        return guest_key(principal)


@dataclass
class Stage:
    """A bus to play on. Topics are fresh for each test."""

    name: str
    closing: ExitStack
    keys: TestKeys = field(default_factory=TestKeys)
    server: ValkeyServer | RabbitServer | None = None
    memory: Broker | None = None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def topic(self) -> str:
        return f"topic.{uuid.uuid4().hex[:8]}"

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url + ("&claim_idle=1" if self.name == "valkey" else "")

    def bus(self, *, keys: object = None, url: str | None = None, principal: str = CONTROL) -> Bus:
        """Return a fresh connection, closed when the test ends."""
        connection: MemoryBus | rpc.RpcBus
        if self.memory is not None:
            connection = MemoryBus(self.memory, principal=principal)
        else:
            connection = rpc.connect(
                url or self.url,
                principal=principal,
                keyring=keys or self.keys,  # type: ignore[arg-type]
                host_label=f"test-{next(self._numbers)}",
            )
        self.closing.callback(connection.close)
        return connection

    def guest_bus(self, instance_id: str, url: str, *, key: bytes | None = None) -> Bus:
        return self.bus(
            keys=FixedKeys({instance_id: key or guest_key(instance_id)}),
            url=url + ("&claim_idle=1" if self.name == "valkey" else ""),
            principal=instance_id,
        )

    def admission(self) -> ValkeyAdmission | RabbitAdmission | SharedAdmission:
        assert self.server is not None
        management = self.server.management_url if isinstance(self.server, RabbitServer) else None
        return admission(self.server.url, keyring=self.keys, management_url=management)

    def link(self, url: str | None = None) -> Link:
        link = Endpoint(url or self.url).open(confirm=True)
        self.closing.callback(link.close)
        return link

    def take(self, queue: str, count: int, deadline_s: float = 20.0) -> list[Delivery]:
        """Take messages off a queue as the control plane, unopened."""
        taken: list[Delivery] = []
        deadline = time.monotonic() + deadline_s
        wake_read, wake_write = os.pipe()
        try:
            with closing(Endpoint(self.url).open()) as link:
                link.consume(queue, taken.append, prefetch=count)
                while len(taken) < count and time.monotonic() < deadline:
                    link.wait(wake_read, 0.1)
                for delivery in taken:
                    link.accept(delivery)
                link.wait(wake_read, 0.05)
        finally:
            os.close(wake_read)
            os.close(wake_write)
        return taken

    def poison(self, topic: str, count: int = 1) -> list[Delivery]:
        return self.take(topic + POISON_SUFFIX, count)

    def size(self, queue: str) -> int:
        """Return how many messages a queue holds, in hand or not."""
        if isinstance(self.server, ValkeyServer):
            size = self.server.command("XLEN", queue)
        else:
            size = self.link().channel.queue_declare(queue, passive=True).message_count
        assert isinstance(size, int)
        return size

    def consumer_process(self, topic: str, mode: str, seen: Path) -> "subprocess.Popen[bytes]":
        """Consume in another process; `mode` says what it does with each message."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.bus.consumer_process", topic, mode, str(seen)],
            env={**os.environ, "BUS_URL": self.url, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            cwd=ROOT,
        )

        def end() -> None:
            process.kill()
            process.wait(10)

        self.closing.callback(end)
        return process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that need RabbitMQ in one worker of xdist, so that it is started once."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "rabbitmq" in _needs(item):
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))


def _needs(item: pytest.Item) -> set[str]:
    call = getattr(item, "callspec", None)
    chosen = [] if call is None else [value for value in call.params.values() if isinstance(value, str)]
    return {*chosen, *getattr(item, "fixturenames", ())}


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    with rabbit_server() as server:
        yield server


def _stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with ExitStack() as closing_stack:
        if request.param == "memory":
            yield Stage(name="memory", closing=closing_stack, memory=Broker())
        else:
            yield Stage(name=request.param, closing=closing_stack, server=request.getfixturevalue(request.param))


@pytest.fixture(params=["memory", "valkey", "rabbitmq"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each kind of bus."""
    yield from _stage(request)


@pytest.fixture(params=["valkey", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each kind of bus that has a broker."""
    yield from _stage(request)


@pytest.fixture
def make_guest(broker: Stage) -> Iterator[Callable[[], tuple[str, str]]]:
    """Admit a guest; returns its id and the URL of its credential."""
    admitted: list[str] = []

    def make() -> tuple[str, str]:
        instance_id = str(uuid.uuid4())
        credential = broker.admission().admit(instance_id)
        admitted.append(instance_id)
        assert guest_topic(instance_id) == f"guestagent.{instance_id}"
        return instance_id, credential.url

    yield make
    for instance_id in admitted:
        broker.admission().expel(instance_id)
