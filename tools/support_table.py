"""Writes doc/support.md, what is proven of each engine in each version, from doc/support.json.

`tools/support_table.py` renders; `make check` sees to it that the result is checked in. `tools/support_table.py record` first
runs the conformance suite over all editions, whose images must have been built, and takes down how each test ended; with
names of editions, such as `record postgresql-17`, it does so for those alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from tests.support import editions  # noqa: E402
from tests.support.editions import Edition  # noqa: E402
from tests.support.support_recorder import FULL_VOLUME, INCREMENTAL, RECORD, RUNNING  # noqa: E402

from trove.datastores.contract import Facet  # noqa: E402

FILE = ROOT / "doc" / "support.json"
PAGE = ROOT / "doc" / "support.md"
SUITE = "tests/conformance/engine"

SUBJECTS = (
    RUNNING,
    Facet.DATABASES,
    Facet.USERS,
    Facet.ROOT,
    Facet.CONFIGURATION,
    Facet.LOGS,
    Facet.BACKUPS,
    INCREMENTAL,
    Facet.REPLICATION,
    Facet.UPGRADES,
    Facet.TLS,
    FULL_VOLUME,
)
NOT_OFFERED = ("MongoDB", "Cassandra", "Couchbase", "CouchDB", "Vertica", "Db2", "Oracle Database")

HEAD = """# What is proven of each engine

Written by `tools/support_table.py` from what the conformance suite saw of real servers; not to be edited.

- **n** tests of this subject passed on a real server of this version.
- **n of m**: the others failed, or could not be run on the machine where this was recorded.
- **not offered**: the engine does not have it, or this project does not offer it; the API refuses it with a sentence.
- **not provable here**: the code is there, and no server could be had to prove it with. Take it as untried.
"""

TAIL = """
Not offered, because no server of them could be had to build and prove an engine with: {engines}.
Clusters and restoring to a point in time are not offered with any engine yet.
"""

Record = Mapping[str, Mapping[str, Mapping[str, str]]]


def record(names: list[str]) -> int:
    """Run the suite and write what it saw; return pytest's exit code."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        words = [
            sys.executable,
            "-m",
            "pytest",
            SUITE,
            "-q",
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "-p",
            "tests.support.support_recorder",
        ]
        some = ["-k", " or ".join(names)] if names else []
        environment = os.environ | {RECORD: file.name, "TROVE_TEST_EDITIONS": "all"}
        code = subprocess.run([*words, *some], cwd=ROOT, env=environment, check=False).returncode
        seen: Record = json.load(file)
    found: dict[str, Mapping[str, Mapping[str, str]]] = dict(load()) if names else {}
    for edition, subjects in seen.items():
        found[edition] = {**found.get(edition, {}), **subjects}
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return code


def load() -> Record:
    """Return what was recorded."""
    found: Record = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def cell(edition: Edition, subject: str, seen: Record) -> str:
    """Return what the table says of a subject."""
    if subject == INCREMENTAL:
        offered = Facet.BACKUPS in edition.spec.facets and edition.spec.incremental_backups
        provable = Facet.BACKUPS not in edition.unproven
    else:
        offered = subject in {RUNNING, FULL_VOLUME} or Facet(subject) in edition.spec.facets
        provable = subject not in edition.unproven
    if not offered:
        return "not offered"
    if not provable:
        return "not provable here"
    if subject == Facet.UPGRADES and not _before(edition):
        return "the first version"
    tests = seen.get(str(edition), {}).get(subject, {})
    if not tests:
        return "not run yet"
    passed = sum(outcome == "passed" for outcome in tests.values())
    return f"{passed}" if passed == len(tests) else f"{passed} of {len(tests)}"


def is_proven(edition: Edition, subject: str, seen: Record) -> bool:
    """Tell whether there are tests of a subject, and all of them passed."""
    return cell(edition, subject, seen).isdigit()


def _before(edition: Edition) -> list[Edition]:
    return [each for each in editions.ALL if edition in editions.newer(each)]


def page(seen: Record) -> str:
    """Return the text of doc/support.md."""
    return "\n".join([HEAD, *_table(seen), *_notes(), TAIL.format(engines=", ".join(NOT_OFFERED)), *_promises(seen), ""])


def _table(seen: Record) -> Iterator[str]:
    yield f"| Version | From | {' | '.join(SUBJECTS)} |"
    yield "| --- | --- |" + " --- |" * len(SUBJECTS)
    for edition in editions.ALL:
        origin = "the host's packages" if edition.image is None else f"image `{edition.image}`"
        cells = (cell(edition, subject, seen) for subject in SUBJECTS)
        yield f"| {edition.spec.title} {edition.version} | {origin} | {' | '.join(cells)} |"


def _notes() -> Iterator[str]:
    for edition in editions.ALL:
        if edition.stand_in is not None:
            yield ""
            yield (
                f"{edition.spec.title} could not be had itself: what stands here was seen on the server of {edition.stand_in}, "
                "whose programs have the same names. What the two do differently is not proven."
            )


def _promises(seen: Record) -> Iterator[str]:
    yield "## The promises"
    for subject in SUBJECTS:
        names = sorted({name for each in seen.values() for name in each.get(subject, {})})
        failed = {
            name: [edition for edition, each in seen.items() if each.get(subject, {}).get(name, "passed") != "passed"]
            for name in names
        }
        yield from ("", f"### {subject}", "")
        for name in names:
            but = f" (not seen to hold on {', '.join(sorted(failed[name]))})" if failed[name] else ""
            yield f"- {name.removeprefix('test_').replace('_', ' ')}{but}"


def render() -> None:
    """Write doc/support.md."""
    PAGE.write_text(page(load()))


def main() -> int:
    """Render, after recording when asked to."""
    code = record(sys.argv[2:]) if sys.argv[1:2] == ["record"] else 0
    render()
    return code


if __name__ == "__main__":
    sys.exit(main())
