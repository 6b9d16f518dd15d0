"""The forms of clouds that the suites run over; each ends with a check that nothing is left."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clouds import NOBODY, CloudProcess, is_root, make_settings, state_directory

from trove.cloud.local import LocalCloud, LocalCloudSettings
from trove.cloud.local.mounts import mounts
from trove.cloud.memory import MemoryCloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A cloud under test. `settings` is None for the one in memory."""

    name: str
    cloud: Any
    settings: LocalCloudSettings | None = None

    @property
    def root(self) -> Path:
        assert self.settings is not None
        return self.settings.state_dir

    def home(self, instance_id: str) -> Path:
        return self.root / "servers" / instance_id

    def data(self, instance_id: str) -> Path:
        return self.root / "volumes" / instance_id / "mount" / "data"


FORMS: dict[str, dict[str, str]] = {
    "root-loop-bwrap": {"volumes": "loop", "sandbox": "bwrap"},
    "root-directory-bwrap": {"volumes": "directory", "sandbox": "bwrap"},
    "root-directory-process": {"volumes": "directory", "sandbox": "process"},
    "user-bwrap": {"sandbox": "bwrap"},
    "user-process": {"sandbox": "process"},
}


@contextmanager
def local_form(name: str, **changes: Any) -> Iterator[Form]:
    """Make a local cloud in one of its forms, and take it down whatever happened."""
    privileged = name.startswith("root")
    if privileged and not is_root():
        pytest.skip("needs root")
    with state_directory() as parent:
        if not privileged and is_root():
            parent.chmod(0o777)
        settings = make_settings(parent / "s", **FORMS[name], **changes)
        cloud: Any = LocalCloud(settings) if privileged or not is_root() else CloudProcess(settings, uid=NOBODY)
        try:
            yield Form(name=name, cloud=cloud, settings=settings)
            assert cloud.destroy_all() == {}
            assert_nothing_left(settings.state_dir)
        finally:
            cloud.destroy_all()
            if isinstance(cloud, CloudProcess):
                cloud.close()


def assert_nothing_left(root: Path) -> None:
    """Look for processes, mounts, loop devices, and files of a cloud that was destroyed."""
    assert processes_of(root) == []
    assert [entry.point for entry in mounts() if entry.point.startswith(str(root))] == []
    assert str(root) not in subprocess.run(["losetup", "-a"], check=False, capture_output=True, text=True).stdout
    assert [path for path in root.rglob("*") if path.name != "locks"] == []


def processes_of(root: Path) -> list[str]:
    """Return the command lines that speak of a state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(root).encode() in words:
                found.append(words.decode(errors="replace"))
    return found


@pytest.fixture(params=["memory", *FORMS])
def form(request: pytest.FixtureRequest) -> Iterator[Form]:
    """Every cloud that we have."""
    if request.param == "memory":
        yield Form(name="memory", cloud=MemoryCloud())
        return
    with local_form(request.param) as made:
        yield made


@pytest.fixture(params=list(FORMS))
def local(request: pytest.FixtureRequest) -> Iterator[Form]:
    """Every form of the local cloud."""
    with local_form(request.param) as made:
        yield made


@pytest.fixture
def root_loop() -> Iterator[Form]:
    """The local cloud with all that root allows."""
    with local_form("root-loop-bwrap") as made:
        yield made
