"""The unit files for systemd fit the services."""

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from oslo_config import cfg
from tests.support.private_process import program

from trove.config import opts

ROOT = Path(__file__).parents[3]
CONTRIB = ROOT / "contrib"
UNITS = sorted((CONTRIB / "systemd").glob("*.service"))
SERVICES = [unit for unit in UNITS if "guestagent" not in unit.name]
"""Those of the control plane."""
THAT_GO_ON = [unit for unit in UNITS if not unit.name.endswith("-shutdown.service")]
LEAST_EXPOSURE = 2.0
"""What `systemd-analyze security` may find open, of 10."""


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser


def test_each_service_has_one() -> None:
    names = {unit.stem.rstrip("@") for unit in SERVICES}
    assert names == {"trove-api", "trove-conductor", "trove-objectstore", "trove-taskmanager"}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for unit in THAT_GO_ON:
        program = read(unit)["Service"]["ExecStart"].split()[0]
        assert Path(program).name in scripts


@pytest.mark.parametrize("unit", THAT_GO_ON, ids=lambda unit: unit.name)
def test_what_hangs_is_killed_for_certain_and_comes_back(unit: Path) -> None:
    service = read(unit)["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    # A process that was stopped by a signal hears no other one.
    assert service["WatchdogSignal"] == "SIGKILL"
    assert service["Restart"] == "always"


def test_the_api_can_be_reloaded() -> None:
    assert read(ROOT / "contrib" / "systemd" / "trove-api.service")["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_understands_them(unit: Path, tmp_path: Path) -> None:
    # The programs are not in /usr/bin of this machine.
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(unit.read_text().replace("/usr/bin/trove-", f"{Path(sys.executable).parent}/trove-"))
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_the_services_are_shut_in(unit: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run([analyze, "security", "--offline=yes", unit], capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= LEAST_EXPOSURE


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_has_the_time_that_the_programs_take(unit: Path) -> None:
    conf = cfg.ConfigOpts()
    opts.register(conf)
    conf([], project="trove", default_config_files=[], default_config_dirs=[])
    service = read(unit)["Service"]
    assert int(service["TimeoutStopSec"]) > conf.taskmanager.stop_timeout
    # Sooner than others take its work over.
    assert int(service["WatchdogSec"]) < 1.5 * conf.taskmanager.lease


def test_the_local_cloud_loosens_what_is_there(tmp_path: Path) -> None:
    unit = read(CONTRIB / "systemd" / "trove-taskmanager@.service")["Service"]
    loosened = read(CONTRIB / "systemd" / "local-cloud.conf")["Service"]
    assert set(loosened) <= set(unit) | {"KillMode", "OOMPolicy"}
    assert loosened["KillMode"] == "process"


def test_accounts_and_directories_are_those_of_the_units(tmp_path: Path) -> None:
    for name in ("sysusers", "tmpfiles"):
        (tmp_path / "etc" / "trove").mkdir(parents=True, exist_ok=True)
        argv = [program(f"systemd-{name}", "systemd"), f"--root={tmp_path}", str(CONTRIB / f"{name}.d" / "trove.conf")]
        if name == "tmpfiles":
            (tmp_path / "etc" / "trove" / "trove.conf").touch(0o644)
            (tmp_path / "etc" / "trove" / "secret.key").touch(0o644)
            argv.insert(1, "--create")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    accounts = (tmp_path / "etc" / "passwd").read_text()
    assert {read(unit)["Service"]["User"] for unit in SERVICES} == {accounts.partition(":")[0]} == {"trove"}
    etc = tmp_path / "etc" / "trove"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (etc, etc / "trove.conf", etc / "secret.key")}
    assert modes == {"trove": 0o750, "trove.conf": 0o640, "secret.key": 0o600}
    assert (tmp_path / "var/lib/trove").stat().st_mode & 0o777 == 0o700
