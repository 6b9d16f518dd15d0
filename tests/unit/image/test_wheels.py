"""The agent's packages: all that the guest side loads is in the image, and nothing else."""

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from contrib.image.imaging import wheels
from contrib.image.imaging.problems import BuildError

BROUGHT = {"amqp"}
"""What kombu brings."""
CONTROL_PLANE = {"jinja2"}
"""What functions import that only the control plane calls: it renders configuration."""

LOAD_ALL = """
import importlib, json, pkgutil, sys
import trove.cmd.guestagent, trove.cmd.notify, trove.bus.rpc, trove.bus.sealing, trove.bus.streams
import trove.guestagent, trove.datastores
for package in (trove.guestagent, trove.datastores):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if name.startswith("trove.")}))
"""


def imported(file: Path) -> set[str]:
    """Return the top-level packages that a module imports anywhere but for types."""
    found: set[str] = set()
    tree = ast.parse(file.read_text())
    typing = {node for each in ast.walk(tree) if _is_for_types(each) for node in ast.walk(each)}
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_the_guest_side_needs_what_the_image_has_and_nothing_more() -> None:
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", LOAD_ALL], capture_output=True, text=True, check=True).stdout
    files = [Path(file) for file in json.loads(told).values() if file]
    assert len(files) > 100
    names = {name for file in files for name in imported(file)} - sys.stdlib_module_names - {"trove"} - BROUGHT - CONTROL_PLANE
    distributions = packages_distributions()
    needed = {_plain(distributions[name][0]) for name in names}
    assert needed == {_plain(name) for name in wheels.GUEST}


def test_versions_are_those_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["PyYAML>=6.0", "kombu>=5.4,<6"]\n')
    assert wheels.requirements(["kombu", "pyyaml"], source=tmp_path) == ["kombu>=5.4,<6", "PyYAML>=6.0"]
    assert len(wheels.requirements()) == len(wheels.GUEST)
    with pytest.raises(BuildError, match="hiredis"):
        wheels.requirements(["kombu", "hiredis"], source=tmp_path)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
