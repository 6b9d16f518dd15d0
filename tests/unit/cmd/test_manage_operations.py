"""trove-manage operation cancel and retry: what they do to which operation."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from tests.support.rows import add_operation
from tests.support.valkey import valkey_server
from tests.support.waiting import until
from tests.support.world import CALLER, RecordedAnnouncer, request

from trove.bus.contract import TASKMANAGER_TOPIC, Message
from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.cmd import logs, wiring
from trove.cmd.manage import main
from trove.config import opts
from trove.core.errors import CloudError, Fenced
from trove.core.operations import Operation, OperationState
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors
from trove.operations.instance import create, delete
from trove.operations.work import Work
from trove.store import operations

Manage = Callable[..., tuple[int, Any]]


@pytest.fixture
def manage(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Manage:
    """Run a command; return its exit code and its JSON, or what it says on standard error."""

    def run(*words: str) -> tuple[int, Any]:
        code = main([f"--config-file={conf_file}", "--json", *words])
        printed = capsys.readouterr()
        return code, printed.err if code else json.loads(printed.out)

    assert run("db", "upgrade")[0] == 0
    assert run("datastore", "version-update", "mariadb", "10.11", "mariadb", "--version", "10.11.6", "--default")[0] == 0
    return run


@pytest.fixture
def doors(conf_file: Path, manage: Manage) -> Iterator[Doors]:
    """The same store with a cloud in memory, to accept requests with."""
    conf = configuration(conf_file)
    base = wiring.foundation(conf)
    bus = MemoryBus()
    yield Doors(
        database=base.database,
        cloud=MemoryCloud(),
        bus=bus,
        admission=wiring.admission(base),
        objects=MemoryObjectStore(),
        announcer=RecordedAnnouncer(),
        settings=wiring.settings(conf),
    )
    bus.close()
    base.close()


@pytest.fixture
def on_bus(conf_file: Path) -> Iterator[Path]:
    """The configuration with a bus that is there."""
    with valkey_server() as server:
        text = conf_file.read_text()
        (line,) = (line for line in text.splitlines() if line.startswith("transport_url"))
        conf_file.write_text(text.replace(line, f"transport_url = {server.url}"))
        yield conf_file


def heard(conf_file: Path) -> Any:
    """Return the arguments of the first message to the task managers."""
    messages: list[Message] = []
    base = wiring.foundation(configuration(conf_file))
    bus = wiring.bus(base, "test")
    try:
        subscription = bus.serve(TASKMANAGER_TOPIC, messages.append, workers=1)
        until(lambda: messages)
        subscription.stop()
    finally:
        bus.close()
        base.close()
    return messages[0].args


def configuration(conf_file: Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    logs.register(conf)
    return opts.load(conf, [f"--config-file={conf_file}"], prog="test", description="")


def newest(doors: Doors) -> Operation:
    with doors.database.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0]


def failed_deletion(doors: Doors) -> str:
    instance_id = create.start(doors, CALLER, request()).id
    delete.start(doors, CALLER, instance_id)
    with doors.database.transaction() as tx:
        for each in operations.unfinished(tx, limit=9):
            claimed, fence = operations.claim(tx, each.id, owner="one")
            work = Work(doors=doors, operation=claimed, fence=fence)
            {create.KIND: create, delete.KIND: delete}[each.kind].fail(tx, work, CloudError("A snapshot holds the volume."))
            operations.finish(tx, fence, OperationState.FAILED, "A snapshot holds the volume.")
    return instance_id


def test_what_users_cannot_cancel_an_operator_can_by_force(doors: Doors, manage: Manage):
    instance_id = create.start(doors, CALLER, request()).id
    delete.start(doors, CALLER, instance_id)
    code, words = manage("operation", "cancel", newest(doors).id)
    assert (code, words) == (1, "trove-manage: An operation of the kind instance.delete cannot be cancelled.\n")
    assert not newest(doors).cancel_requested
    code, said = manage("operation", "cancel", "--force", newest(doors).id)
    assert (code, said) == (0, {"cancel_requested": True, "announced": False})  # the bus is away
    assert newest(doors).cancel_requested


def test_an_operation_whose_runner_lives_is_taken_away_by_force_only(doors: Doors, manage: Manage):
    create.start(doors, CALLER, request())
    operation_id = newest(doors).id
    assert manage("operation", "retry", operation_id) == (0, {"announced": False, "fenced_off": False})
    _, fence = doors.database.run(operations.claim, operation_id, owner="somebody")
    code, words = manage("operation", "retry", operation_id)
    assert code == 1
    assert "somebody" in words
    with doors.database.transaction() as tx:
        operations.check(tx, fence)
    assert manage("operation", "retry", "--force", operation_id) == (0, {"announced": False, "fenced_off": True})
    with doors.database.transaction() as tx, pytest.raises(Fenced):
        operations.check(tx, fence)


def test_an_operation_whose_runner_is_gone_is_taken_away(doors: Doors, manage: Manage):
    create.start(doors, CALLER, request())
    operation_id = newest(doors).id
    doors.database.run(operations.claim, operation_id, owner="somebody", lease_s=-60)
    assert manage("operation", "retry", operation_id) == (0, {"announced": False, "fenced_off": True})


def test_a_failed_deletion_is_begun_again_and_announced(on_bus: Path, doors: Doors, manage: Manage):
    instance_id = failed_deletion(doors)
    deletion = newest(doors)
    assert (deletion.kind, deletion.state) == (delete.KIND, OperationState.FAILED)
    code, said = manage("operation", "retry", deletion.id)
    again = newest(doors)
    assert (code, said) == (0, {"operation": again.id})
    assert (again.kind, again.state, again.resource_id) == (delete.KIND, OperationState.PENDING, instance_id)
    assert heard(on_bus) == {"operation_id": again.id}


def test_a_failed_creation_is_not_begun_again(doors: Doors, manage: Manage):
    failed_deletion(doors)
    with doors.database.reading() as tx:
        creation = operations.page(tx, project_id=CALLER.project_id, kind=create.KIND, limit=1).items[0]
    code, words = manage("operation", "retry", creation.id)
    assert code == 1
    assert "instance.create" in words
    assert "FAILED" in words


def test_a_restart_is_begun_again_only_where_it_is_allowed_now(on_bus: Path, doors: Doors, manage: Manage):
    instance_id = failed_deletion(doors)
    restart = add_operation(doors.database, kind="instance.restart", resource_id=instance_id, project_id=CALLER.project_id)
    fence = doors.database.run(operations.claim, restart.id, owner="one")[1]
    doors.database.run(operations.finish, fence, OperationState.FAILED, "The server did not start.")
    code, words = manage("operation", "retry", restart.id)
    assert code == 1
    assert "ERROR" in words
