"""trove-manage: what it does, what it prints, how it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg
from tests.support.world import CALLER, PASSWORD, request

from trove.bus.memory import MemoryBus
from trove.cloud.memory import MemoryCloud
from trove.cmd import logs, wiring
from trove.cmd.manage import main
from trove.config import opts
from trove.core.quotas import Resource
from trove.objectstore.memory import MemoryObjectStore
from trove.operations.doors import Doors
from trove.operations.instance import create
from trove.store import quotas

Run = Callable[..., str]


@pytest.fixture
def run(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that succeeds; return what it prints."""

    def run(*words: str) -> str:
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return run


@pytest.fixture
def refused(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command that fails; return its exit code and what it says on standard error."""

    def run(*words: str) -> tuple[int, str]:
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        return code, printed.err

    return run


@pytest.fixture
def ready(run: Run) -> None:
    run("db", "upgrade")
    run("datastore", "version-update", "mariadb", "10.11", "mariadb", "--version", "10.11.6", "--default")


def booked(conf_file: Path) -> str:
    """Accept a request for an instance; return the id of its operation."""
    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, [f"--config-file={conf_file}"], prog="test", description="")
    base = wiring.foundation(conf)
    announced: list[str] = []

    class Announcer:
        def announce(self, operation_id: str) -> None:
            announced.append(operation_id)

    bus = MemoryBus()
    doors = Doors(
        database=base.database,
        cloud=MemoryCloud(),
        bus=bus,
        admission=wiring.admission(base),
        objects=MemoryObjectStore(),
        announcer=Announcer(),
        settings=wiring.settings(conf),
    )
    create.start(doors, CALLER, request())
    bus.close()
    base.close()
    return announced[0]


def count_wrong(conf_file: Path, *projects: str) -> None:
    """Count five instances as used that are not there."""
    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, [f"--config-file={conf_file}"], prog="test", description="")
    base = wiring.foundation(conf)
    for project_id in projects:
        base.database.run(quotas.reserve, project_id, {Resource.INSTANCES: 5}, {})
        base.database.run(quotas.commit, project_id, {Resource.INSTANCES: 5})
    base.close()


def test_the_schema_is_made_once_and_again(run: Run):
    assert "empty" in run("db", "current")
    made = json.loads(run("--json", "db", "upgrade"))
    assert json.loads(run("--json", "db_sync")) == made
    assert json.loads(run("--json", "db", "current")) == {"revision": made["revision"], "head": made["revision"]}


def test_the_schema_does_not_go_back(refused: Callable[..., tuple[int, str]]):
    code, words = refused("db_downgrade")
    assert code == 1
    assert "backup" in words


def test_nothing_is_dropped(refused: Callable[..., tuple[int, str]]):
    code, words = refused("db_recreate")
    assert code == 1
    assert "not dropped" in words


def test_a_datastore_is_offered_by_one_command(run: Run, ready: None):
    (version,) = json.loads(run("--json", "datastore", "list"))
    assert version["datastore"] == "mariadb"
    assert (version["version"], version["number"], version["default"], version["active"]) == ("10.11", "10.11.6", True, True)
    table = run("datastore", "list").splitlines()
    assert table[0].split()[0] == "DATASTORE"
    assert table[1].split()[:4] == ["mariadb", "10.11", "10.11.6", "mariadb"]


def test_the_commands_of_before_work(run: Run):
    run("db_upgrade")
    run("datastore_update", "mariadb", "")
    run(
        "datastore_version_update",
        "mariadb",
        "10.11",
        "mariadb",
        "image-1",
        "",
        "1",
        "--version",
        "10.11.6",
        "--image-tags",
        "a,b",
    )
    run("datastore_update", "mariadb", "10.11")
    run("datastore_version_update", "mariadb", "10.11", "mariadb", "image-2", "", "0", "--version", "10.11.6")
    (version,) = json.loads(run("--json", "datastore", "list"))
    assert (version["image"], version["active"], version["default"]) == ("image-2", False, True)


def test_versions_and_datastores_can_be_removed(run: Run, ready: None):
    (version,) = json.loads(run("--json", "datastore", "list"))
    run("datastore", "version-delete", version["id"])
    run("datastore", "delete", "mariadb")
    assert json.loads(run("--json", "datastore", "list")) == []


def test_an_engine_that_is_not_there_is_refused(run: Run, refused: Callable[..., tuple[int, str]]):
    run("db", "upgrade")
    code, words = refused("datastore", "version-update", "oracle", "1", "oracle")
    assert code == 1
    assert "mariadb" in words


def test_quotas(run: Run, ready: None, refused: Callable[..., tuple[int, str]]):
    run("quota", "set", "p1", "instances", "3")
    shown = {row["resource"]: row for row in json.loads(run("--json", "quota", "show", "p1"))}
    assert shown["instances"] == {"resource": "instances", "in_use": 0, "limit": 3, "reserved": 0}
    assert shown["volumes"]["limit"] == 40
    assert run("quota", "show", "p1").splitlines()[0].split() == ["RESOURCE", "IN_USE", "RESERVED", "LIMIT"]

    code, words = refused("quota", "set", "p1", "instances", "-2")
    assert code == 1
    assert "-1" in words


def test_counts_that_drifted_are_told_and_set_right_project_by_project(
    conf_file: Path, run: Run, ready: None, capsys: pytest.CaptureFixture[str]
):
    booked(conf_file)
    assert "agrees" in run("quota", "recount")
    assert json.loads(run("--json", "quota", "recount")) == []
    count_wrong(conf_file, "p1", "p2")

    assert main([f"--config-file={conf_file}", "--json", "quota", "recount", "--dry-run"]) == 1
    told = capsys.readouterr()
    assert "2 counts differ" in told.err
    expected = {"resource": "instances", "in_use": 5, "reserved": 1, "true_in_use": 0, "true_reserved": 1}
    assert json.loads(told.out) == [
        {"project_id": "p1", **expected},
        {"project_id": "p2", **expected, "reserved": 0, "true_reserved": 0},
    ]
    assert "p2" in run("quota", "recount", "--project", "p2")
    table = run("quota", "recount").splitlines()
    assert [line.split() for line in table[1:]] == [["p1", "instances", "5", "0", "1", "1"]]
    assert "agrees" in run("quota", "recount")
    shown = {row["resource"]: row for row in json.loads(run("--json", "quota", "show", CALLER.project_id))}
    assert (shown["instances"]["in_use"], shown["instances"]["reserved"], shown["ram"]["reserved"]) == (0, 1, 512)


def test_operations_are_listed_shown_and_cancelled(conf_file: Path, run: Run, ready: None):
    operation_id = booked(conf_file)
    (row,) = json.loads(run("--json", "operation", "list", "--unfinished"))
    assert (row["id"], row["kind"], row["state"]) == (operation_id, "instance.create", "PENDING")
    assert json.loads(run("--json", "operation", "list", "--state", "FAILED")) == []
    shown = run("operation", "show", operation_id)
    assert "instance.create" in shown
    assert PASSWORD not in shown + run("--json", "operation", "show", operation_id)
    run("operation", "cancel", operation_id)
    assert json.loads(run("--json", "operation", "show", operation_id))["cancel_requested"] is True


def test_what_does_not_exist_is_said_in_one_line(ready: None, refused: Callable[..., tuple[int, str]]):
    assert refused("operation", "show", "nope") == (1, "trove-manage: Operation nope was not found.\n")


def test_a_store_that_is_away_ends_with_75(conf_file: Path, refused: Callable[..., tuple[int, str]]):
    text = conf_file.read_text()
    conf_file.write_text(text.replace("sqlite:///", "mysql+pymysql://trove:hidden@127.0.0.1:1/trove?x=").split("?x=")[0] + "\n")
    conf_file.write_text(conf_file.read_text() + text[text.index("[secrets]") :])
    code, words = refused("operation", "list")
    assert code == 75
    assert "hidden" not in words


@pytest.mark.parametrize(
    "words", [[], ["operation"], ["operation", "show"], ["quota", "set", "p1", "bananas", "1"], ["--nonsense"]]
)
def test_wrong_arguments_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: trove-manage" in capsys.readouterr().err


def test_help_explains_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "exit codes" in capsys.readouterr().out


def test_keys_of_backups_are_listed_and_replaced_and_secrets_sealed_again(run: Run, ready: None):
    assert json.loads(run("--json", "backup-key", "list")) == []
    first = json.loads(run("--json", "backup-key", "rotate", "p1"))
    second = json.loads(run("--json", "backup-key", "rotate", "p1"))
    run("backup-key", "rotate", "p2")
    listed = json.loads(run("--json", "backup-key", "list", "--project", "p1"))
    assert [each["id"] for each in listed] == [first["id"], second["id"]]
    assert set(listed[0]) == {"id", "project_id", "created"}
    assert json.loads(run("--json", "secrets", "reseal"))["count"] == 3
    assert "3 secrets" in run("secrets", "reseal")
