"""For how long no client can write while the source changes, by promotion and by ejection, beside the engine's steps alone."""

import itertools
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pymysql
from tests.bench.measure import Figure, print_figure, print_heading, wait_for
from tests.support.editions import DEFAULTS
from tests.support.guests import machine, machines_directory, make_template
from tests.support.replicated import ReplicatedSet, await_following
from tests.support.served_store import serving
from tests.support.servers import Server
from tests.support.stack import Stack, await_value, stack

from trove.core.accounts import Database, User

RUNS = 3
USER, PASSWORD = "alice", "secret-bench"
EXPIRY = "[DEFAULT]\nreport_interval = 2\nagent_heartbeat_expiry = 6\n"
"""A dead source may be ejected soon: how long that takes is the operator's choice, not ours."""

Change = Callable[[], float]
"""Gives a set another source, and returns the moment from which on writes may have been refused."""


def main() -> None:
    """Print the figures."""
    print_heading("Write gap of a client that tries both members of a set in turn (MariaDB, one replica)")
    with stack(config=EXPIRY) as running, _bare_pairs() as bare_pair:
        for name, promote in (("promote", True), ("eject a dead source, from the request on", False)):
            ours, bare = [], []
            for _ in range(RUNS):  # In turn, so that both meet the same noise.
                with _pair(running) as members:
                    addresses = [(running.show(each) or {})["addresses"][0]["address"] for each in members]
                    change = _promote if promote else _eject
                    ours.append(_gap(addresses, lambda: change(running, members)))  # noqa: B023
                with bare_pair() as made:
                    addresses = [made.source.address, made.replicas[0].address]
                    change = _promote_bare if promote else _eject_bare
                    bare.append(_gap(addresses, lambda: change(made)))  # noqa: B023
            value, base = statistics.median(ours), statistics.median(bare)
            print_figure(Figure(name=name, value=f"{value:.3f} s", baseline=f"{base:.3f} s bare", ratio=value / base))


@contextmanager
def _pair(running: Stack) -> Iterator[list[str]]:
    """Build a source with one replica; yield their ids, the source first."""
    source = running.create("bench")
    running.await_healthy(source)
    reply = running.request("POST", "/instances", {"instance": {"name": "copy", "replica_of": source}})
    assert reply.status == 200, reply.text
    members = [source, str(reply.body["instance"]["id"])]
    running.await_healthy(members[1])
    try:
        yield members
    finally:
        await_value(lambda: not {"PROMOTE", "EJECT"} & _states(running, members), 120.0, "the set is still at work")
        for each in sorted(members, key=lambda one: bool((running.show(one) or {}).get("replicas"))):
            running.delete(each)
            running.await_gone(each)


def _states(running: Stack, members: Sequence[str]) -> set[str]:
    return {str((running.show(each) or {}).get("status")) for each in members}


@contextmanager
def _bare_pairs() -> Iterator[Callable[[], "contextmanager[ReplicatedSet]"]]:  # type: ignore[type-arg]
    """Yield what builds such a pair without a service, as a context manager."""
    edition = next(each for each in DEFAULTS if each.manager == "mariadb")
    with machines_directory() as machines, tempfile.TemporaryDirectory(prefix="trove-bench-") as folder:
        template = make_template(machines, edition.manager, edition.root_dir)

        @contextmanager
        def pair() -> Iterator[ReplicatedSet]:
            with ExitStack() as opened, serving(Path(folder)) as store:

                def build() -> Server:
                    guest = opened.enter_context(machine(machines, edition.manager, template))
                    return Server(edition=edition, guest=guest, worker=guest.worker())

                source = build()
                source.prepare()
                source.call("create_databases", [Database(name="shop")])
                source.call("create_users", [User(name=USER, password=PASSWORD, databases=("shop",))])
                made = ReplicatedSet(source=source, build=build, store=store)
                await_following(made.add())
                yield made

        yield pair  # type: ignore[misc]


def _gap(addresses: Sequence[str], change: Change) -> float:
    """Return the longest time without an acknowledged write."""
    writes: list[float] = []
    stopping = threading.Event()
    writer = threading.Thread(target=_write, args=(addresses, writes, stopping))
    writer.start()
    try:
        wait_for("the first writes", lambda: len(writes) > 50)
        began = change()
        wait_for("writes after the change", lambda: sum(each > began for each in writes) > 200, timeout_s=120)
    finally:
        stopping.set()
        writer.join()
    moments = [began, *(each for each in writes if each > began)]
    return max(after - before for before, after in itertools.pairwise(moments))


def _write(addresses: Sequence[str], writes: list[float], stopping: threading.Event) -> None:
    for address in itertools.cycle(addresses):
        if stopping.is_set():
            return
        with suppress(pymysql.Error, OSError), _connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS shop.gap (at DOUBLE)")
            while not stopping.is_set():
                cursor.execute("INSERT INTO shop.gap VALUES (%s)", (time.monotonic(),))
                writes.append(time.monotonic())
                time.sleep(0.002)
        time.sleep(0.002)


def _connect(address: str) -> "pymysql.connections.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(host=address, user=USER, password=PASSWORD, connect_timeout=2, read_timeout=30, autocommit=True)


def _promote(running: Stack, members: Sequence[str]) -> float:
    return _act(running, members[1], "promote_to_replica_source")


def _promote_bare(made: ReplicatedSet) -> float:
    began = time.monotonic()
    made.promote(made.replicas[0])
    return began


def _eject(running: Stack, members: Sequence[str]) -> float:
    """Let the source die, and eject it as soon as that is allowed; return when it was asked for."""
    agent = (running.instance_row(members[0]) or {})["agent_pid"]
    os.kill(agent, signal.SIGSTOP)
    try:
        for pid in running.servers(members[0]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return _act(running, members[0], "eject_replica_source")
    finally:
        with suppress(ProcessLookupError):
            os.kill(agent, signal.SIGCONT)


def _eject_bare(made: ReplicatedSet) -> float:
    made.source.kill()
    began = time.monotonic()
    made.eject()
    return began


def _act(running: Stack, instance_id: str, action: str) -> float:
    """Ask for an action until it is accepted; return when the request that was accepted began."""
    while True:
        began = time.monotonic()
        reply = running.request("POST", f"/instances/{instance_id}/action", {action: {}})
        if reply.status == 202:
            return began
        assert reply.status in {400, 422}, reply.text
        time.sleep(0.1)
