"""Log lines: request and operation in each, tracebacks too, JSON on demand, no foreign words of exceptions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, sys
from oslo_config import cfg
from trove.cmd import logs
from trove.config import opts
from trove.core.trail import trail
conf = cfg.ConfigOpts()
logs.register(conf)
opts.load(conf, ["--config-file", sys.argv[1]], prog="x", description="")
logs.start(conf)
LOG = logging.getLogger("trove.x")
with trail(request_id="req-7", operation_id="op-9"):
    LOG.info("first")
    try:
        raise ValueError("kaboom")
    except ValueError:
        LOG.warning("noticed")
        LOG.exception("failed")
LOG.debug("hidden")
open(sys.argv[1], "a").write("debug = true\\n")
logs.reread(conf)
LOG.debug("shown")
logging.getLogger("sqlalchemy.engine").info("too much")
"""


@pytest.fixture
def logged(tmp_path: Path):
    def run(*lines: str) -> list[str]:
        path = tmp_path / "trove.conf"
        path.write_text("\n".join(["[DEFAULT]", *lines]) + "\n")
        words = [sys.executable, "-c", PROGRAM, str(path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()

    return run


def test_each_line_names_request_and_operation(logged):
    lines = logged()
    first = lines[0]
    assert "INFO trove.x [req-7 op-9] first" in first
    failed = [line for line in lines if "ERROR" in line]
    assert len(failed) >= 4
    assert all("[req-7 op-9]" in line for line in failed)
    assert any("kaboom" in line for line in failed)


def test_an_exception_that_is_handled_adds_no_words(logged):
    (noticed,) = [line for line in logged() if "noticed" in line]
    assert noticed.endswith("] noticed")


def test_the_level_changes_when_the_configuration_is_read_again(logged):
    text = "\n".join(logged())
    assert "hidden" not in text
    assert "shown" in text
    assert "too much" not in text


def test_json_lines(logged):
    records = [json.loads(line) for line in logged("use_json = true")]
    assert records[0]["message"] == "first"
    assert records[0]["extra"] == {"request_id": "req-7", "operation_id": "op-9"}
