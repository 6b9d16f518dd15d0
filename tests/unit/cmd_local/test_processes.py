"""Processes are known by pid and start time, so that a reused pid is never taken for the old process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from trove.cmd.local import processes


def test_this_process_is_alive_and_somebody_with_its_pid_is_not_it() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert processes.is_alive(me)
    assert not processes.is_alive(replace(me, started=me.started + 1))
    assert not processes.is_alive(replace(me, boot="another boot"))


def test_a_record_of_a_process_that_ended_reads_as_none(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = processes.identify(child.pid)
        assert identity is not None
        processes.save(tmp_path / "record", identity)
        assert processes.load(tmp_path / "record") == identity
        child.communicate(b"\n")
    assert processes.load(tmp_path / "record") is None


def test_a_zombie_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        assert processes.wait_until(lambda: processes.identify(child.pid) is None, 10)
    finally:
        child.wait()


def test_damaged_and_missing_records_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text('{"pid": 1')
    (tmp_path / "foreign").write_text('{"what": 1}')
    for name in ("damaged", "foreign", "missing"):
        assert processes.load(tmp_path / name) is None


def test_memory_of_a_session_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as child:
        identity = processes.identify(child.pid)
        assert identity is not None
        assert processes.session_members(identity) == (child.pid,)
        assert processes.wait_until(lambda: processes.resident_mib(identity) > 1, 10)
        child.communicate(b"\n")
    assert processes.session_members(identity) == ()
