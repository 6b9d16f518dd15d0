"""The guest agent's Python packages as wheels: the project's own, and the few of others that agents load."""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from contrib.image.imaging.problems import BuildError

SOURCE = Path(__file__).resolve().parents[3]

GUEST = ("cryptography", "hiredis", "kombu", "PyMySQL", "pyyaml")
"""Of the project's dependencies those that the guest side loads; all others are the control plane's."""

LIST = "guest.txt"
_GLIBC = range(17, 37)
"""Minor versions of glibc 2 that wheels may be built for: up to that of the oldest suite."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements(names: Sequence[str] = GUEST, *, source: Path = SOURCE) -> list[str]:
    """Return the project's own requirements of these packages."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    found = {_key(_NAME.match(line)[0]): line for line in project["dependencies"]}  # type: ignore[index]
    missing = [name for name in names if _key(name) not in found]
    if missing:
        raise BuildError(f"pyproject.toml does not depend on {', '.join(missing)} any more, which guest agents need")
    return [found[_key(name)] for name in names]


def gather(target: Path, python: str) -> None:
    """Put the wheels for a guest whose Python is `python`, such as 3.13, into `target`; raises `BuildError`."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = requirements()
    (target / LIST).write_text("".join(f"{line}\n" for line in wanted))
    with tempfile.TemporaryDirectory(prefix="trove-wheel-") as work:
        # From a copy: setuptools leaves things beside what it builds, and finds things there.
        copy = Path(work, "source")
        for name in ("src/trove", "pyproject.toml", "README.md", "LICENSE"):
            _copy(SOURCE / name, copy / name)
        _pip(["wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(copy)])
    short = python.replace(".", "")
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in _GLIBC] + ["--platform=manylinux2014_x86_64"]
    abis = [f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")]
    chosen = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *abis, *platforms]
    _pip(["download", "--quiet", "--dest", str(target), *chosen, "pip", *wanted])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _pip(words: Sequence[str]) -> None:
    line = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check", "--no-input", "--retries=5", "--timeout=60"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip cannot {words[0]} the agent's packages: {done.stderr.strip()[-800:]}")


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
