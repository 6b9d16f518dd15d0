"""One machine per test, for every engine and in both sandbox modes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.engines import EVERYTHING
from tests.support.guests import Machine, Worker, machine, machines_directory, make_template

from trove.datastores import registry
from trove.datastores.contract import ConfigInputs, Spec
from trove.guestagent.host import SandboxKind

Engine = tuple[Spec, Machine]


@pytest.fixture(scope="session")
def machines() -> Iterator[Path]:
    with machines_directory() as folder:
        yield folder


@pytest.fixture(scope="session")
def templates(machines: Path) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def template(manager: str) -> Path:
        if manager not in made:
            made[manager] = make_template(machines, manager)
        return made[manager]

    return template


@pytest.fixture(params=[manager for manager in registry.managers() if manager != EVERYTHING])
def spec(request: pytest.FixtureRequest) -> Spec:
    return registry.spec(request.param)


@pytest.fixture(params=[SandboxKind.BWRAP, SandboxKind.PROCESS])
def sandbox(request: pytest.FixtureRequest) -> SandboxKind:
    kind: SandboxKind = request.param
    return kind


@pytest.fixture
def config(spec: Spec) -> str:
    return spec.render_config(ConfigInputs(instance_id="0" * 8, version=spec.usable_versions[0], ram_mib=512))


@pytest.fixture
def guest(spec: Spec, sandbox: SandboxKind, machines: Path, templates: Callable[[str], Path]) -> Iterator[Machine]:
    """An empty machine."""
    with machine(machines, spec.manager, templates(spec.manager), sandbox) as made:
        yield made


@pytest.fixture
def worker(guest: Machine) -> Worker:
    return guest.worker()


@pytest.fixture(scope="module")
def prepared(machines: Path, templates: Callable[[str], Path]) -> Iterator[Callable[[str], tuple[Machine, Worker]]]:
    """A server shared by the tests of a module, one per engine: each test uses names of its own."""
    made: dict[str, tuple[Machine, Worker]] = {}
    contexts = []

    def prepare(manager: str) -> tuple[Machine, Worker]:
        if manager not in made:
            context = machine(machines, manager, templates(manager))
            there = context.__enter__()
            contexts.append(context)
            worker = there.worker()
            spec = registry.spec(manager)
            inputs = ConfigInputs(instance_id=there.instance_id, version=spec.usable_versions[0], ram_mib=512)
            worker.call("prepare", spec.render_config(inputs))
            made[manager] = (there, worker)
        return made[manager]

    yield prepare
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def server(spec: Spec, prepared: Callable[[str], tuple[Machine, Worker]]) -> tuple[Machine, Worker]:
    return prepared(spec.manager)
