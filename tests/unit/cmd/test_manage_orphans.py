"""trove-manage orphans: what it lists, what it removes, and what it never does."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.clouds import make_spec
from tests.support.rows import add_instance, add_operation, add_version
from tests.support.world import MemoryAdmission

from trove.cloud.contract import NicRequest
from trove.cloud.memory import MemoryCloud
from trove.cmd import clouds, status, wiring
from trove.cmd.manage import main
from trove.core.errors import CloudError
from trove.core.ids import new_id
from trove.core.orphans import HeldKind
from trove.store import orphans
from trove.store.session import Database
from trove.store.vault import Vault


@dataclass
class Stage:
    """A state database with one live instance, and a cloud that holds things for it and for others."""

    database: Database
    run: Callable[..., tuple[int, str, str]]
    live: str = ""
    cloud: MemoryCloud = field(default_factory=MemoryCloud)
    admission: MemoryAdmission = field(default_factory=MemoryAdmission)

    def make(self, instance_id: str) -> str:
        """Let the cloud and the bus hold everything for an instance."""
        self.cloud.ensure_port(instance_id, NicRequest(), None, (3306,))
        self.cloud.ensure_volume(instance_id, size_gib=3, volume_type=None)
        self.cloud.ensure_server(make_spec(instance_id))
        self.cloud.ensure_name(instance_id, ())
        self.admission.admit(instance_id)
        return instance_id

    def orphan(self) -> str:
        """Leave everything of an instance that nobody knows, recorded as the reconciler does."""
        instance_id = self.make(new_id())
        self.record(instance_id, *HeldKind)
        return instance_id

    def record(self, instance_id: str, *kinds: HeldKind) -> None:
        with self.database.transaction() as tx:
            for kind in kinds:
                orphans.record(tx, kind, [(instance_id, "unknown")], limit=10)

    def held(self) -> set[str]:
        found = self.cloud.leftovers()
        return {*found.servers, *found.volumes, *found.ports, *self.cloud.names, *self.admission.admitted}

    def listed(self) -> list[tuple[str, str]]:
        with self.database.reading() as tx:
            return [(orphan.kind.value, orphan.instance_id) for orphan in orphans.all(tx)]


@pytest.fixture
def stage(conf_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("db", "upgrade")[0] == 0
    vault = Vault.from_file(conf_file.parent / "secret.key", create=False)
    database = Database(f"sqlite:///{conf_file.parent}/trove.sqlite", vault=vault)
    made = Stage(database=database, run=run)
    made.live = made.make(add_instance(database, add_version(database)).id)
    # The only memory doors there are live in one process: both programs get the same.
    monkeypatch.setattr(clouds, "cloud", lambda conf: made.cloud)
    monkeypatch.setattr(clouds, "names", lambda conf, cloud: cloud)
    monkeypatch.setattr(wiring, "admission", lambda base: made.admission)
    yield made
    database.close()


def test_nothing_is_listed_and_nothing_removed_where_nothing_is(stage: Stage):
    assert stage.run("--json", "orphans", "list") == (0, "[]\n", "")
    assert stage.run("orphans", "clean", "--yes") == (0, "There is nothing to remove.\n", "")


def test_the_list_tells_kind_size_and_since_when(stage: Stage):
    one = stage.orphan()
    code, printed, _ = stage.run("orphans", "list", "--json")
    rows = json.loads(printed)
    assert code == 0
    assert [(row["kind"], row["instance_id"], row["size_gib"]) for row in rows] == [
        ("server", one, None),
        ("volume", one, 3),
        ("name", one, None),
        ("port", one, None),
        ("bus-user", one, None),
    ]
    assert all(row["reason"] == "unknown" and row["first_seen"].endswith("Z") for row in rows)
    table = stage.run("orphans", "list", "--kind", "volume")[1].splitlines()
    assert table[0].split() == ["KIND", "INSTANCE_ID", "SIZE_GIB", "FIRST_SEEN", "LAST_SEEN", "REASON"]
    assert len(table) == 2


def test_a_cloud_that_is_away_does_not_keep_the_list_from_being_shown(stage: Stage):
    one = stage.orphan()
    stage.cloud.order_fault("find_volume", CloudError("away"), times=None)
    code, printed, _ = stage.run("orphans", "list", "--json", "--kind", "volume")
    assert (code, [row["instance_id"] for row in json.loads(printed)]) == (0, [one])


def test_clean_removes_the_server_before_its_volume_and_nothing_of_others(stage: Stage):
    one, other = stage.orphan(), stage.orphan()
    stage.cloud.calls.clear()
    code, printed, err = stage.run("orphans", "clean", "--yes", "--id", one)
    assert (code, err) == (0, "")
    assert printed.splitlines() == [f"removed: {kind} of {one}" for kind in ("server", "volume", "name", "port", "bus-user")]
    assert stage.held() == {stage.live, other}
    removals = [verb for verb, _ in stage.cloud.calls if verb.startswith("delete")]
    assert removals == ["delete_server", "delete_volume", "delete_name", "delete_port"]
    assert {instance_id for _, instance_id in stage.listed()} == {other}


def test_a_name_is_kept_where_nobody_looks_after_names(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clouds, "names", lambda conf, cloud: None)
    one = stage.orphan()
    code, printed, err = stage.run("orphans", "clean", "--yes", "--kind", "name")
    assert code != 0
    assert f"kept: name of {one}: trove_dns_support is false now" in printed
    assert "1 of 1 things were kept" in err
    assert list(stage.cloud.names) == [stage.live, one]


def test_clean_may_be_kept_to_one_kind(stage: Stage):
    one = stage.orphan()
    assert stage.run("orphans", "clean", "--yes", "--kind", "server")[0] == 0
    assert stage.cloud.leftovers().servers == (stage.live,)
    assert one in stage.cloud.leftovers().volumes


def test_clean_never_removes_what_a_live_instance_owns(stage: Stage):
    stage.record(stage.live, HeldKind.SERVER, HeldKind.VOLUME)
    code, printed, err = stage.run("orphans", "clean", "--yes")
    assert code == 1
    assert printed.count("belongs to an instance now") == 2
    assert "2 of 2 things were kept" in err
    assert (stage.held(), stage.listed()) == ({stage.live}, [])


def test_clean_never_removes_what_an_operation_works_on(stage: Stage):
    one = stage.orphan()
    add_operation(stage.database, resource_id=one)
    assert stage.run("orphans", "clean", "--yes")[0] == 1
    assert stage.held() == {stage.live, one}


def test_what_cannot_be_removed_is_kept_listed_with_the_clouds_words(stage: Stage):
    one = stage.orphan()
    stage.cloud.order_fault("delete_volume", CloudError("A snapshot holds it."))
    code, printed, _ = stage.run("--json", "orphans", "clean", "--yes")
    assert code == 1
    assert json.loads(printed)["kept"] == {f"volume of {one}": "A snapshot holds it."}
    assert stage.listed() == [("volume", one)]
    assert stage.run("orphans", "clean", "--yes")[0] == 0
    assert stage.held() == {stage.live}


def test_a_database_that_knows_nothing_of_the_cloud_removes_nothing_unless_it_is_named(stage: Stage):
    one = stage.orphan()
    for remove in (stage.cloud.delete_server, stage.cloud.delete_volume):
        remove(stage.live)
    code, _, err = stage.run("orphans", "clean", "--yes")
    assert code == 1
    assert "may be the wrong one" in err
    assert one in stage.held()
    assert stage.run("orphans", "clean", "--yes", "--id", one)[0] == 0
    assert one not in stage.held()


def test_without_a_terminal_clean_wants_a_yes(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    one = stage.orphan()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, _, err = stage.run("orphans", "clean")
    assert (code, one in stage.held()) == (1, True)
    assert "--yes" in err


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("yes\n", True), ("\n", False), ("no\n", False), ("", False)])
def test_on_a_terminal_clean_shows_what_goes_and_asks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: str, removed: bool
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    one = stage.orphan()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, printed, err = stage.run("orphans", "clean")
    assert one in printed
    assert "Remove these 5 things" in err
    assert (code, one in stage.held()) == ((0, False) if removed else (1, True))


def test_orphans_are_a_warning_before_an_upgrade(stage: Stage, conf_file: Path, capsys: pytest.CaptureFixture[str]):
    words = [f"--config-file={conf_file}", "--json", "upgrade", "check"]
    for expected in ("SUCCESS", "WARNING"):
        capsys.readouterr()
        status.main(words)
        found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
        assert found["orphans"]["result"] == expected
        stage.orphan()
    assert "5 things" in found["orphans"]["details"]
