"""A real guest agent on a real bus, with the control plane's side of it in the hands of a test."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.guests import Machine, wait_for
from tests.support.valkey import ValkeyServer

from trove.bus import rpc
from trove.bus.admission import admission
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, Bus, Message
from trove.bus.guest import GuestCaller
from trove.bus.sealing import FixedKeys


class Conductor:
    """Hears what guests report."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._lock = threading.Lock()

    def hear(self, messages: Sequence[Message]) -> None:
        with self._lock:
            self._messages += messages

    def clear(self) -> None:
        with self._lock:
            self._messages.clear()

    def statuses(self) -> list[str]:
        return [str(message.args["status"]) for message in self._all("heartbeat")]

    def last_heartbeat(self) -> Mapping[str, Any]:
        return self._all("heartbeat")[-1].args

    def job(self, name: str) -> Mapping[str, Any] | None:
        found = [message.args for message in self._all("report_job") if message.args["name"] == name]
        return found[-1] if found else None

    def roots(self) -> list[object]:
        return [message.args["user"] for message in self._all("report_root")]

    def _all(self, method: str) -> list[Message]:
        with self._lock:
            return [message for message in self._messages if message.method == method]


class Stage:
    """One machine with its agent, and the control plane's side of the bus."""

    def __init__(self, guest: Machine, bus: Bus, conductor: Conductor, bootstrap: Path) -> None:
        self.guest = guest
        self.conductor = conductor
        self.bootstrap = bootstrap
        self.caller = GuestCaller(bus, guest.instance_id, timeout_s=30)

    def begin(self) -> None:
        self.conductor.clear()
        self.guest.agent(self.bootstrap)
        wait_for(self.conductor.statuses, "the first heartbeat")

    def finish(self, name: str) -> Mapping[str, Any]:
        def ended() -> Mapping[str, Any] | None:
            job = self.conductor.job(name)
            return job if job is not None and job["state"] != "RUNNING" else None

        found: Mapping[str, Any] = wait_for(ended, f"the end of job {name}")
        return found

    def wait_status(self, status: str) -> None:
        wait_for(lambda: self.conductor.statuses()[-1:] == [status], f"status {status}")

    def prepare(self, config: str, **more: Any) -> Mapping[str, Any]:
        self.caller.start_job("create", "prepare", {"config": config, **more})
        return self.finish("create")


@contextmanager
def staged(guest: Machine, valkey: ValkeyServer) -> Iterator[Stage]:
    keys = FixedKeys({CONTROL: bytes(32), guest.instance_id: guest.key})
    credential = admission(valkey.url, keyring=keys).admit(guest.instance_id)
    bus = rpc.connect(valkey.url, principal=CONTROL, keyring=keys, host_label="test")
    conductor = Conductor()
    try:
        bus.serve_batches(CONDUCTOR_TOPIC, conductor.hear)
        stage = Stage(guest, bus, conductor, guest.write_bootstrap(credential.url, report_interval_s=0.5))
        stage.begin()
        yield stage
    finally:
        bus.close()
        valkey.command("FLUSHALL")
