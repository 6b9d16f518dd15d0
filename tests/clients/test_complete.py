"""Nothing of a client is left out: a new version with one more command fails here until a test runs it."""

import ast
import inspect
import re
import shutil
import subprocess
import warnings
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tests.support.clients_shells import NAMES
from tests.support.clients_table import load

HERE = Path(__file__).parent


def called(client: str) -> set[str]:
    """Return every call of a client that some test makes."""
    return {call for seen in load().values() for call in seen.get(client, {})}


def test_every_command_of_openstack_is_run() -> None:
    commands = {point.name.replace("_", " ") for point in entry_points(group="openstack.database.v1")}
    assert len(commands) >= 83
    assert called("openstack") == commands


def test_every_command_of_the_older_client_is_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from troveclient.v1 import shell
    commands = {name.removeprefix("do_").replace("_", "-") for name in vars(shell) if name.startswith("do_")}
    assert len(commands) >= 100
    assert called("trove") == commands
    assert set(NAMES.values()) <= commands


def test_every_function_of_the_sdk_is_called() -> None:
    from openstack.database.v1._proxy import Proxy
    from openstack.database.v1.instance import Instance

    functions = {name for name, value in vars(Proxy).items() if inspect.isfunction(value) and not name.startswith("_")}
    actions = {f"Instance.{name}" for name, value in vars(Instance).items() if inspect.isfunction(value)}
    assert called("openstacksdk") >= functions | actions


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing is known about gophercloud")
def test_every_function_of_gophercloud_is_called() -> None:
    words = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/gophercloud/gophercloud/v2"]
    subprocess.run(["go", "mod", "download"], cwd=HERE / "gophercloud", check=True, capture_output=True)
    found = subprocess.run(words, cwd=HERE / "gophercloud", check=True, capture_output=True, text=True).stdout.strip()
    functions = {
        f"{file.parent.name}.{name}"
        for file in Path(found, "openstack", "db", "v1").glob("*/requests.go")
        for name in re.findall(r"^func ([A-Z]\w+)\(", file.read_text(), re.MULTILINE)
    }
    assert len(functions) >= 34
    assert called("gophercloud") == functions


def test_the_record_names_no_test_that_is_gone() -> None:
    tests = {
        f"{file.name}::{node.name}"
        for file in HERE.glob("test_*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {name.partition("[")[0] for name in load()} <= tests
