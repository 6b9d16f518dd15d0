"""The unit files for systemd fit the services."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "contrib" / "systemd").glob("*.service"))


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser


def test_each_service_has_one() -> None:
    names = {unit.stem.rstrip("@") for unit in UNITS}
    assert names == {"trove-api", "trove-conductor", "trove-objectstore", "trove-taskmanager", "trove-guestagent"}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for unit in UNITS:
        program = read(unit)["Service"]["ExecStart"].split()[0]
        assert Path(program).name in scripts


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_hangs_is_killed_for_certain_and_comes_back(unit: Path) -> None:
    service = read(unit)["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    # A process that was stopped by a signal hears no other one.
    assert service["WatchdogSignal"] == "SIGKILL"
    assert service["Restart"] == "always"


def test_the_api_can_be_reloaded() -> None:
    assert read(ROOT / "contrib" / "systemd" / "trove-api.service")["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_understands_them(unit: Path, tmp_path: Path) -> None:
    # The programs are not in /usr/bin of this machine.
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(unit.read_text().replace("/usr/bin/trove-", f"{Path(sys.executable).parent}/trove-"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
