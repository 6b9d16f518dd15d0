"""Writes the generated files again: samples in etc/trove, tables in README.md, and what else is generated in doc.

`make generate`, and `make check` followed by `git diff --exit-code`, so that none of them is ever edited by hand or forgotten.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import client_table
import support_table
from api_routes import routes_text
from state_diagram import states_text
from tests.support import editions

from trove.api import openapi

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SUPPORT = ("<!-- support:begin -->", "<!-- support:end -->")
API = ("<!-- routes:begin -->", "<!-- routes:end -->")


def samples() -> None:
    """Write trove.conf.sample and policy.yaml.sample, and the copy of api-paste.ini that trove-local carries."""
    etc = ROOT / "etc" / "trove"
    for program, settings in (("oslo-config-generator", "config"), ("oslopolicy-sample-generator", "policy")):
        subprocess.run([BIN / program, "--config-file", etc / f"{settings}-generator.conf"], check=True, cwd=ROOT)
    copy = ROOT / "src" / "trove" / "cmd" / "local" / "api-paste.ini"
    copy.write_bytes((etc / "api-paste.ini").read_bytes())


def support_tables() -> str:
    """Return the tables: engines by what was proven of them, clouds by subject from the conformance tests they pass."""
    return "\n".join(["", *_engines(), "", *_clouds(), ""])


def _engines() -> Iterator[str]:
    """Yield by engine and version what the conformance suite proved of it; doc/support.md has the numbers."""
    seen = support_table.load()
    yield _row("Engine", *support_table.SUBJECTS)
    yield _rule(1 + len(support_table.SUBJECTS))
    for edition in editions.ALL:
        proven = ("yes" if support_table.is_proven(edition, subject, seen) else "" for subject in support_table.SUBJECTS)
        yield _row(f"{edition.spec.title} {edition.version}", *proven)
    yield ""
    yield "Each *yes* stands for tests that passed on a real server of that version: [doc/support.md](doc/support.md)."


def _clouds() -> Iterator[str]:
    """Yield what the conformance suite proves of each cloud: a test that takes the fixture `form` runs on every one."""
    yield "<details><summary>What is proven of the clouds</summary>"
    yield ""
    yield _row("Promise", "local", "memory (for tests)")
    yield _rule(3)
    for path in sorted((ROOT / "tests" / "conformance" / "cloud").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                everywhere = any(argument.arg == "form" for argument in node.args.args)
                yield _row(node.name.removeprefix("test_").replace("_", " "), "yes", "yes" if everywhere else "")
    yield ""
    yield "</details>"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns


def put_between(path: Path, markers: tuple[str, str], content: str) -> None:
    """Replace what stands between two marker lines of a file."""
    begin, end = markers
    head, found, rest = path.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path.name} has lost its markers {begin} … {end}")
    path.write_text(f"{head}{begin}\n{content}\n{end}{tail}")


def main() -> None:
    """Write every generated file."""
    samples()
    put_between(ROOT / "README.md", SUPPORT, support_tables())
    document = json.dumps(openapi.document(), indent=1, ensure_ascii=False)
    (ROOT / "doc" / "openapi.json").write_text(f"{document}\n")
    put_between(ROOT / "doc" / "api.md", API, routes_text())
    (ROOT / "doc" / "states.md").write_text(states_text())
    client_table.render()
    support_table.render()


if __name__ == "__main__":
    main()
