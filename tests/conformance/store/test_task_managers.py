"""Three task managers on one store share the work: one is killed, one is stopped past its lease and wakes up as a zombie."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.etcd import etcd_server
from tests.support.rows import add_operation
from tests.support.standstill import go_on, stand_still_with_empty_hands
from tests.support.task_manager import KIND, ROOT, STEPS, managers_command
from tests.support.valkey import valkey_server
from tests.support.waiting import until

from trove.core.operations import Operation, OperationState
from trove.store import operations, schema
from trove.store.session import Database
from trove.store.vault import Vault

RESOURCES = 6
EACH = 2


@dataclass(frozen=True)
class Mark:
    moment: str
    pid: int
    resource: str
    operation: str
    fence: int
    step: str


def read(marks: Path) -> list[Mark]:
    found = [line.split() for line in marks.read_text().splitlines()]
    return [Mark(moment, int(pid), resource, of, int(fence), step) for moment, pid, resource, of, fence, step in found]


def in_deed(marks: Path, pid: int) -> bool:
    mine = [mark for mark in read(marks) if mark.pid == pid]
    return sum(mark.moment == "begin" for mark in mine) > sum(mark.moment == "end" for mark in mine)


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[Callable[[str, str, bytes], list["subprocess.Popen[str]"]]]:
    """Start three task managers, which wait for a line before they begin. The deeds of two last until a file is removed."""
    with ExitStack() as stack:

        def start(url: str, locks: str, key: bytes) -> list["subprocess.Popen[str]"]:
            made = []
            for held in (tmp_path / "held", tmp_path / "held", ""):
                orders = json.dumps(
                    {"url": url, "locks": locks, "key": key.decode(), "marks": str(tmp_path / "marks"), "held": str(held)}
                )
                process = subprocess.Popen(
                    managers_command(), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                stack.enter_context(process)
                stack.callback(process.kill)
                tell(process, orders)
                made.append(process)
            assert [said(process) for process in made] == ["ready"] * 3
            return made

        yield start


def stop(pid: int, database: Database) -> None:
    """Stop a process, but not while it writes to SQLite: nobody else could then, until it goes on or is killed."""
    file = Path(str(database.engine.url.database)) if database.dialect == "sqlite" else None
    stand_still_with_empty_hands(pid, database=file)


def tell(process: "subprocess.Popen[str]", line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def store_and_locks(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return the URLs of an empty state database and of the locks."""
    sqlite = f"sqlite:///{tmp_path}/trove.sqlite"
    if kind == "file":
        yield sqlite, f"file://{tmp_path}/locks"
    elif kind == "etcd":
        with etcd_server() as url:
            yield sqlite, url
    elif kind == "valkey":
        with valkey_server() as server:
            yield sqlite, f"redis://control:{server.password}@{server.folder}/bus.sock?lock_timeout=2&membership_timeout=2"
    else:
        server: Any = request.getfixturevalue(kind)
        server.recreate("managers")
        yield server.url("managers"), server.lock_url("managers")


@pytest.mark.parametrize("kind", ["file", "mariadb", "postgresql", "etcd", "valkey"])
def test_one_killed_and_one_stopped_the_third_ends_all_and_the_zombie_writes_nothing(
    store_and_locks: tuple[str, str], managers: Callable[..., list["subprocess.Popen[str]"]], tmp_path: Path
) -> None:
    url, locks = store_and_locks
    key = Vault.new_key()
    marks = tmp_path / "marks"
    marks.touch()
    database = Database(url, vault=Vault([key]))
    try:
        schema.upgrade(database)
        made = [add_operation(database, kind=KIND, resource_id=f"r{number % RESOURCES}") for number in range(RESOURCES * EACH)]
        (tmp_path / "held").touch()
        running = managers(url, locks, key)
        victim, zombie, survivor = running
        for process in running:
            tell(process)
            until(lambda process=process: process is survivor or in_deed(marks, process.pid))
        victim.kill()
        stop(zombie.pid, database)

        def rows() -> list[Operation]:
            with database.reading() as tx:
                return [operations.get(tx, each.id) for each in made]

        until(lambda: all(row.state is OperationState.SUCCEEDED for row in rows()))
        ended = rows()
        (tmp_path / "held").unlink()
        go_on(zombie.pid)
        for process in (zombie, survivor):
            tell(process)
        assert [said(process) for process in (zombie, survivor)] == ["stopped", "stopped"]
        assert rows() == ended
        with database.reading() as tx:
            assert tx.connection.exec_driver_sql("select count(*) from workflow_items").scalar() == 0
    finally:
        database.close()
    found = read(marks)
    assert {mark.pid for mark in found} == {process.pid for process in running}
    for resource in {mark.resource for mark in found}:
        _one_at_a_time([mark for mark in found if mark.resource == resource], victim.pid, zombie.pid)


def _one_at_a_time(marks: list[Mark], victim: int, zombie: int) -> None:
    """Check that on one resource no deed begins while another is done, except one whose runner was killed or stopped in it.

    A zombie that was stopped between its look at the fence and its deed still does that one deed, and no other.
    """
    doing: Mark | None = None
    newest: dict[str, int] = {}
    done: dict[str, list[str]] = {}
    late: list[str] = []
    for mark in marks:
        if mark.fence < newest.get(mark.operation, 0):
            assert mark.pid == zombie, f"{mark} came after its operation was taken over"
            late += [mark.operation] if mark.moment == "begin" else []
        elif mark.moment == "end":
            doing = None
        else:
            interrupted = doing is not None and doing.pid in {victim, zombie} and doing.pid != mark.pid
            assert doing is None or interrupted, f"{mark} began during {doing}"
            doing = mark
            newest[mark.operation] = mark.fence
            done.setdefault(mark.operation, []).append(mark.step)
    assert len(late) == len(set(late)) <= 1, late
    for steps in done.values():
        # Each once and in order, but that of an interrupted runner perhaps again.
        assert list(dict.fromkeys(steps)) == list(STEPS)
        assert len(steps) <= len(STEPS) + 2
