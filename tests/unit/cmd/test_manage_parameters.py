"""trove-manage loads, lists and forgets parameters of datastore versions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trove.cmd.manage.program import main

Run = Callable[..., str]
Refused = Callable[..., tuple[int, str]]

LOADED = [
    {"name": "max_connections", "type": "integer", "restart_required": True, "min": 20, "max": 30},
    {"name": "of_our_own", "type": "float", "restart_required": False, "min": 0.5},
    {"name": "a_list", "type": "list", "restart_required": False},
]


@pytest.fixture
def run(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that succeeds; return what it prints."""

    def call(*words: str) -> str:
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return call


@pytest.fixture
def refused(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that fails; return its exit code and what it says on standard error."""

    def call(*words: str) -> tuple[int, str]:
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        assert printed.out == ""
        return code, printed.err

    return call


@pytest.fixture
def version(run: Run) -> tuple[str, str]:
    run("db", "upgrade")
    run("datastore", "version-update", "mariadb", "10.11", "mariadb", "--version", "10.11.6")
    run("datastore", "version-update", "mariadb", "10.11", "mariadb", "--version", "10.11.9")
    return "mariadb", "10.11"


def listed(run: Run, *words: str) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(run("--json", "parameters", "list", *words))}


def file_of(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("load", "remove"),
    [
        (("parameters", "load"), ("parameters", "remove")),
        (("db_load_datastore_config_parameters",), ("db_remove_datastore_config_parameters",)),
    ],
)
def test_what_is_loaded_is_on_top_of_what_is_shipped_and_can_be_forgotten(
    run: Run, version: tuple[str, str], tmp_path: Path, load: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    shipped = listed(run, *version, "--version", "10.11.6")
    path = file_of(tmp_path / "p.json", {"configuration-parameters": LOADED})
    for _ in range(2):
        assert "3 parameters" in run(*load, *version, path, "--version", "10.11.6")
    now = listed(run, *version, "--version", "10.11.6")
    assert set(now) == {*shipped, "of_our_own", "a_list"}
    assert now["max_connections"] == {
        "name": "max_connections",
        "type": "integer",
        "restart_required": True,
        "min": 20,
        "max": 30,
    }
    assert now["of_our_own"]["min"] == 0.5
    assert listed(run, *version, "--version", "10.11.9") == shipped
    assert "of_our_own" in run("parameters", "list", *version, "--version", "10.11.6")
    run(*remove, *version, "--version", "10.11.6")
    assert listed(run, *version, "--version", "10.11.6") == shipped


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "is not JSON"),
        ([], "configuration-parameters"),
        ({"configuration-parameters": {}}, "configuration-parameters"),
        ({"configuration-parameters": [*LOADED, {"type": "string"}]}, "[3] needs a name"),
        ({"configuration-parameters": [{**LOADED[0], "name": "x" * 129}]}, "128 characters"),
        ({"configuration-parameters": [{**LOADED[0], "type": "bool"}]}, "type must be one of string, integer"),
        ({"configuration-parameters": [{**LOADED[0], "restart_required": 1}]}, "restart_required"),
        ({"configuration-parameters": [{**LOADED[0], "min": "few"}]}, "min must be a number"),
        ({"configuration-parameters": [{**LOADED[0], "min": None}]}, "both"),
        ({"configuration-parameters": [{**LOADED[0], "min": 40}]}, "less than"),
        ({"configuration-parameters": [*LOADED, {**LOADED[0], "name": "MAX_CONNECTIONS"}]}, "twice"),
    ],
)
def test_a_file_that_is_wrong_loads_nothing(
    run: Run, refused: Refused, version: tuple[str, str], tmp_path: Path, content: object, words: str
) -> None:
    before = listed(run, *version, "--version", "10.11.6")
    path = file_of(tmp_path / "p.json", content)
    code, told = refused("db_load_datastore_config_parameters", *version, path, "--version", "10.11.6")
    assert code == 1
    assert words in told
    assert listed(run, *version, "--version", "10.11.6") == before


def test_what_is_not_there_is_said(refused: Refused, version: tuple[str, str], tmp_path: Path) -> None:
    path = file_of(tmp_path / "p.json", {"configuration-parameters": LOADED})
    assert "10.11.6, 10.11.9" in refused("db_load_datastore_config_parameters", *version, path)[1]
    assert "nosuch" in refused("db_remove_datastore_config_parameters", "nosuch", "1")[1]
    missing = str(tmp_path / "missing.json")
    assert "missing.json" in refused("db_load_datastore_config_parameters", *version, missing, "--version", "10.11.6")[1]
