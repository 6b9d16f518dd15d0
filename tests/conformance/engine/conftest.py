"""Machines for every edition of every engine. A test that takes `edition`, or what stands on it, runs on each default edition.

Marks: `facet(…)` and `incremental_backups` leave out engines without that; `manager("…")` keeps one engine;
`every_edition` runs on all versions, not only on the default ones, and on twins of engines, too (so does everything with
TROVE_TEST_EDITIONS=all); `both_sandboxes` runs with bubblewrap, and on one engine without.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path

import pytest
from tests.support import editions
from tests.support.dialects import Dialect
from tests.support.editions import Edition
from tests.support.guests import Machine, Worker, machine, machines_directory, make_template
from tests.support.served_store import Store, serving
from tests.support.servers import Server
from tests.support.valkey import ValkeyServer, valkey_server

from trove.datastores.contract import Spec
from trove.guestagent.host import SandboxKind

Build = Callable[..., Server]
Move = Callable[[Server, Edition], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the editions, and the sandboxes, that a test runs on."""
    if "edition" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    facets = [facet for mark in metafunc.definition.iter_markers("facet") for facet in mark.args]
    everything = os.environ.get("TROVE_TEST_EDITIONS") == "all"
    everyone = "every_edition" in marks or everything
    chosen = editions.with_facets(*facets, everyone=everyone)
    if "incremental_backups" in marks:
        chosen = tuple(each for each in chosen if each.spec.incremental_backups)
    only = metafunc.definition.get_closest_marker("manager")
    if only is not None:
        chosen = tuple(each for each in chosen if each.manager in only.args)
    elif not everyone:
        chosen = tuple(each for each in chosen if each.twin is None)
    if "target" in metafunc.fixturenames:
        # One step from the default edition by default, each step there is on demand.
        provable = editions.with_facets(*facets, everyone=True)
        steps = [(old, new) for old in provable for new in editions.newer(old) if new in provable]
        if not everyone:
            firsts = {old: (old, new) for old, new in reversed(steps)}
            steps = [firsts[old] for old in chosen if old in firsts]
        quick = [(*step, SandboxKind.AUTO) for step in steps]
        names = [f"{old}-to-{new.version}" for old, new in steps]
        metafunc.parametrize(("edition", "target", "sandbox"), quick, ids=names)
        return
    if "sandbox" not in metafunc.fixturenames:
        metafunc.parametrize("edition", chosen, ids=str)
        return
    pairs = [(each, SandboxKind.AUTO) for each in chosen]
    if "both_sandboxes" in marks:
        pairs = [(each, SandboxKind.BWRAP) for each in chosen]
        # What it does is the host's, not the engine's: one engine tells it.
        pairs += [(each, SandboxKind.PROCESS) for each in chosen if each.image is None][: None if everything else 1]
    names = [f"{each}" if kind is SandboxKind.AUTO else f"{each}-{kind}" for each, kind in pairs]
    metafunc.parametrize(("edition", "sandbox"), pairs, ids=names)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of an edition in one worker of xdist, so that its templates and shared servers are made once."""
    for item in items:
        if item.path.parent == Path(__file__).parent and (call := getattr(item, "callspec", None)) is not None:
            item.add_marker(pytest.mark.xdist_group(str(call.params.get("edition", "engines"))))


@pytest.fixture(scope="session")
def machines() -> Iterator[Path]:
    with machines_directory(in_memory=True) as folder:
        yield folder


@pytest.fixture(scope="session")
def templates(machines: Path) -> Callable[[Edition], Path]:
    @cache
    def template(edition: Edition) -> Path:
        return make_template(machines, edition.manager, edition.root_dir)

    return template


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A bus."""
    with valkey_server() as server:
        server.folder.chmod(0o711)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An object store with the endpoint that guests reach."""
    with serving(tmp_path / "objects") as made:
        yield made


@pytest.fixture
def spec(edition: Edition) -> Spec:
    return edition.spec


@pytest.fixture
def build(edition: Edition, sandbox: SandboxKind, machines: Path, templates: Callable[[Edition], Path]) -> Iterator[Build]:
    """Return what makes machines of this edition, or of another one, with nothing on them yet."""
    with ExitStack() as stack:

        def make(other: Edition = edition) -> Server:
            context = machine(
                machines, other.manager, templates(other), sandbox, version=other.version, root_dir=other.root_dir
            )
            guest = stack.enter_context(context)
            return Server(edition=other, guest=guest, worker=guest.worker())

        yield make


@pytest.fixture
def move(templates: Callable[[Edition], Path]) -> Move:
    """Return what makes the machine of a server anew with another edition on it: what lasts is its volume."""

    def make_anew(server: Server, edition: Edition) -> None:
        server.guest.stop_all()
        for name in ("config", "run", "log"):
            shutil.rmtree(server.guest.root / name, ignore_errors=True)
        server.edition = edition
        server.guest.root_dir, server.guest.version = edition.root_dir, edition.version
        server.guest.template = templates(edition)
        server.worker = server.guest.worker()

    return make_anew


@pytest.fixture
def guest(edition: Edition, sandbox: SandboxKind, machines: Path, templates: Callable[[Edition], Path]) -> Iterator[Machine]:
    """An empty machine that nobody works on yet."""
    with machine(
        machines, edition.manager, templates(edition), sandbox, version=edition.version, root_dir=edition.root_dir
    ) as made:
        yield made


@pytest.fixture
def worker(guest: Machine) -> Worker:
    return guest.worker()


@pytest.fixture
def config(edition: Edition, guest: Machine) -> str:
    return Server(edition=edition, guest=guest, worker=None).config()


@pytest.fixture
def fresh(build: Build) -> Server:
    """A server of its own for one test, that serves."""
    made = build()
    made.prepare()
    return made


@pytest.fixture(scope="module")
def prepared(machines: Path, templates: Callable[[Edition], Path]) -> Iterator[Callable[[Edition], Server]]:
    """Return what makes servers that are shared by the tests of a module, one per edition: each test uses names of its own."""
    with ExitStack() as stack:

        @cache
        def prepare(edition: Edition) -> Server:
            guest = stack.enter_context(_machine_of(edition, machines, templates(edition)))
            made = Server(edition=edition, guest=guest, worker=guest.worker())
            made.prepare()
            return made

        yield prepare


@pytest.fixture
def server(edition: Edition, prepared: Callable[[Edition], Server]) -> Server:
    """The server of this edition that the tests of a module share. It is left running, with root disabled."""
    return prepared(edition)


@pytest.fixture
def dialect(server: Server) -> Dialect:
    return server.dialect


def _machine_of(
    edition: Edition, parent: Path, template: Path, sandbox: SandboxKind = SandboxKind.AUTO
) -> AbstractContextManager[Machine]:
    return machine(parent, edition.manager, template, sandbox, version=edition.version, root_dir=edition.root_dir)
