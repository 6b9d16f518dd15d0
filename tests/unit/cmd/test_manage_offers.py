"""trove-manage binds flavors and volume types to datastore versions, under its names and under those of before."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trove.cmd.manage import main

VERSION = ("mariadb", "10.11")


@pytest.fixture
def run(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; return its exit code and what it prints and complains of."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("db", "upgrade")[0] == 0
    for number in ("10.11.6", "10.11.7"):
        assert run("datastore", "version-update", *VERSION, "mariadb", "--version", number)[0] == 0
    return run


@pytest.mark.parametrize(
    ("word", "old"), [("flavor", "datastore_version_flavor"), ("volume-type", "datastore_version_volume_type")]
)
def test_what_is_bound_is_listed_and_taken_away(run: Callable[..., tuple[int, str, str]], word: str, old: str) -> None:
    number = ("--version", "10.11.6")
    assert "may use all" in run("datastore", f"{word}-list", *VERSION, *number)[1]
    assert json.loads(run("--json", "datastore", f"{word}-list", *VERSION, *number)[1]) == []
    for _ in range(2):
        assert run("datastore", f"{word}-add", *VERSION, "1, 7", *number)[0] == 0
    assert run(f"{old}_add", *VERSION, "ssd", *number)[0] == 0
    assert run(f"{old}_list", *VERSION, *number)[1].splitlines()[1:] == ["1", "7", "ssd"]
    assert "may use all" in run("datastore", f"{word}-list", *VERSION, "--version", "10.11.7")[1]
    code, out, _ = run("--json", "datastore", f"{word}-delete", *VERSION, "7", *number)
    assert (code, json.loads(out)["removed"]) == (0, "7")
    assert run(f"{old}_delete", *VERSION, "1", *number)[0] == 0
    assert run("datastore", f"{word}-list", *VERSION, *number)[1].splitlines()[1:] == ["ssd"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("datastore_version_flavor_add", *VERSION, "1"), "several versions"),
        (("datastore_version_flavor_add", "ghost", "10.11", "1"), "ghost"),
        (("datastore_version_flavor_add", "mariadb", "9", "1"), "9"),
        (("datastore", "flavor-add", *VERSION, " , ", "--version", "10.11.6"), "at least one"),
        (("datastore_version_flavor_delete", *VERSION, "1", "--version", "10.11.6"), "not bound"),
        (("datastore_version_volume_type_list", "ghost", "1"), "ghost"),
    ],
)
def test_what_cannot_be_done_ends_with_1_and_the_reason(
    run: Callable[..., tuple[int, str, str]], words: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*words)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert said in err


def test_missing_arguments_end_with_2(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--config-file={conf_file}", "datastore_version_flavor_add", "mariadb"])
    assert ended.value.code == 2
    assert "version_name" in capsys.readouterr().err
