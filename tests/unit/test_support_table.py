"""The support table says no more than what was seen, and an engine that declares more than the table proves is found here."""

import ast
from pathlib import Path

import pytest
from tests.support import editions
from tests.support.editions import Edition
from tests.support.support_recorder import RUNNING
from tools import support_table

SUITE = Path(__file__).resolve().parents[1] / "conformance" / "engine"
SEEN = support_table.load()


@pytest.mark.parametrize("edition", editions.ALL, ids=str)
def test_what_an_engine_declares_is_proven(edition: Edition) -> None:
    for facet in edition.spec.facets:
        assert facet in support_table.SUBJECTS, f"no test of the suite is about {facet}"
    unproven = [
        subject
        for subject in support_table.SUBJECTS
        if support_table.cell(edition, subject, SEEN) not in {"not offered", "not provable here", "the first version"}
        and not support_table.is_proven(edition, subject, SEEN)
    ]
    assert unproven == [], "run it and take it down: tools/support_table.py record"


def test_versions_that_are_called_usable_have_been_run() -> None:
    run = {(each.manager, each.version) for each in editions.ALL if support_table.is_proven(each, RUNNING, SEEN)}
    called = {(each.manager, version) for each in editions.ALL for version in each.spec.usable_versions}
    assert called == run


def test_every_promise_of_the_table_is_a_test_of_the_suite() -> None:
    tests = {
        node.name
        for path in SUITE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    told = {name for subjects in SEEN.values() for names in subjects.values() for name in names}
    assert told <= tests, "a test was renamed or removed: tools/support_table.py record"


def test_a_failed_test_is_not_called_proven() -> None:
    edition = editions.ALL[0]
    good, bad = ({str(edition): {RUNNING: {"test_a": "passed", "test_b": outcome}}} for outcome in ("passed", "failed"))
    assert support_table.is_proven(edition, RUNNING, good)
    assert not support_table.is_proven(edition, RUNNING, bad)
    assert support_table.cell(edition, RUNNING, bad) == "1 of 2"
    assert not support_table.is_proven(edition, RUNNING, {})
