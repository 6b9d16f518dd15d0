"""A plugin of pytest that takes down what the conformance suite saw of each edition: `-p tests.support.support_recorder`.

It writes to the file that `TROVE_RECORD_SUPPORT` names, by edition and subject the names of tests and how they ended.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RECORD = "TROVE_RECORD_SUPPORT"
RUNNING = "running"
INCREMENTAL = "incremental backups"
FULL_VOLUME = "full volume"

SUBJECTS = {
    "test_running": RUNNING,
    "test_agent": RUNNING,
    "test_full_volume": FULL_VOLUME,
    "test_configuration": "configuration groups",
    "test_logs": "logs",
    "test_backups": "backups",
    "test_replication": "replication",
    "test_upgrades": "upgrades",
    "test_tls": "tls",
}
"""What a file of the suite is about. A test of another file is about the facets that it is marked with."""

RANK = ("passed", "skipped", "failed")

Found = dict[str, dict[str, dict[str, str]]]


class Recorder:
    """Takes down outcomes, the worst of each test over its parameters and phases. Works with processes of pytest-xdist."""

    def __init__(self) -> None:
        self.found: Found = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[Any]:
        report: pytest.TestReport = yield
        if report.when == "call" or report.outcome != "passed":
            report.user_properties.append(("support", _entry(item)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down one report; with pytest-xdist in the process that leads the others."""
        for entry in (value for key, value in report.user_properties if key == "support" and value):
            edition, subjects, name = entry
            for subject in subjects:
                tests = self.found.setdefault(edition, {}).setdefault(subject, {})
                tests[name] = max(report.outcome, tests.get(name, "passed"), key=RANK.index)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):
            Path(os.environ[RECORD]).write_text(json.dumps(self.found, indent=1, sort_keys=True) + "\n")


def _entry(item: pytest.Item) -> list[Any] | None:
    """Return the edition, the subjects and the name of a test, None when it is about no edition."""
    params = getattr(item, "callspec", None) and item.callspec.params  # type: ignore[attr-defined]
    if not params or "edition" not in params:
        return None
    # An upgrade is a matter of the version that it leads to.
    edition = params.get("target", params["edition"])
    return [str(edition), _subjects(item), getattr(item, "originalname", item.name)]


def _subjects(item: pytest.Item) -> list[str]:
    if item.get_closest_marker("incremental_backups") is not None:
        return [INCREMENTAL]
    stem = item.path.stem
    if stem in SUBJECTS:
        return [SUBJECTS[stem]]
    return [str(facet) for mark in item.iter_markers("facet") for facet in mark.args]


def pytest_configure(config: pytest.Config) -> None:
    """Take part when a file is named."""
    if RECORD in os.environ:
        config.pluginmanager.register(Recorder())
