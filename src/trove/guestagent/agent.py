"""Puts the parts of a guest agent together and runs them."""

import logging
import threading

from trove.bus.contract import Bus, Subscription, guest_topic
from trove.core.errors import TroveError
from trove.core.status import ServiceStatus
from trove.guestagent.clustering import Clustered
from trove.guestagent.engine import Engine
from trove.guestagent.following import Following
from trove.guestagent.heartbeat import Heartbeat, Pulse, quietly
from trove.guestagent.jobs import Jobs
from trove.guestagent.ledger import Ledger
from trove.guestagent.lifecycle import Lifecycle
from trove.guestagent.logs import GuestLogs
from trove.guestagent.manager import Manager
from trove.guestagent.modules import Modules
from trove.guestagent.patience import Patient
from trove.guestagent.replication import Replicating
from trove.guestagent.supervisor import Supervisor
from trove.guestagent.tls import GuestTls
from trove.guestagent.upgrades import Upgrading

LOG = logging.getLogger(__name__)

RPC_WORKERS = 4


class Agent:
    """The agent of one instance: consumes its topic, beats, and watches the database server."""

    def __init__(self, engine: Engine, bus: Bus, *, version: str, report_interval_s: float) -> None:
        self._engine = engine
        self._bus = bus
        self._version = version
        self._ledger = Ledger(engine.host)
        lock = threading.RLock()
        self.supervisor = Supervisor(engine.driver, engine.host, self._ledger, lock, noticed=self._noticed)
        self.heartbeat = Heartbeat(bus, status=self.supervisor.status, pulse=self._pulse, interval_s=report_interval_s)
        lifecycle = Lifecycle(engine, self._ledger, lock, root_enabled=self.heartbeat.root_enabled)
        replicating, upgrading = Replicating(engine, self._ledger, lock), Upgrading(engine, self._ledger, lock)
        self._following = Following(engine)
        modules = Modules(engine.host)
        kinds = {**lifecycle.kinds(), **replicating.kinds(), **upgrading.kinds()}
        kinds = {**Patient(engine, self._ledger, lock).kinds(kinds), **modules.kinds()}
        kinds |= Clustered(engine, lock).kinds()
        self.jobs = Jobs(engine.host, kinds, changed=self.heartbeat.poke)
        self._manager = Manager(engine.spec, engine.driver, self.jobs, host=engine.host, describe=self.heartbeat.describe)
        self._manager.add({**modules.methods(), **GuestLogs(engine).methods(), **GuestTls(engine, lock).methods()})
        self._subscription: Subscription | None = None

    def start(self, *, tick_s: float = 1.0) -> None:
        """Take up jobs that were cut off, then serve, beat and watch."""
        pid = self._engine.host.server_pid()
        if pid is not None:
            LOG.info("the database server runs already, as process %d: it is kept", pid)
        self.jobs.resume()
        self._subscription = self._bus.serve(
            guest_topic(self._engine.host.instance_id), self._manager.handle, workers=RPC_WORKERS
        )
        self.heartbeat.start(self.jobs)
        self.supervisor.start(self.jobs, tick_s=tick_s)

    def stop(self) -> None:
        """Let calls in hand finish and stop; the database server runs on, and a job in hand is taken up by the next agent."""
        self.supervisor.stop()
        if self._subscription is not None:
            self._subscription.stop()
        self.heartbeat.stop()

    def _noticed(self, status: ServiceStatus) -> None:
        self.heartbeat.note(status)

    def _pulse(self) -> Pulse:
        host = self._engine.host
        try:
            version = self._engine.driver.version()
        except TroveError:
            version = None
        return Pulse(
            agent_version=self._version,
            datastore_version=version,
            restarts=self._ledger.facts.restarts,
            volume_used_bytes=quietly(lambda: host.usage().used),
            volume_total_bytes=quietly(lambda: host.usage().total),
            replication=self._following.state(),
        )
