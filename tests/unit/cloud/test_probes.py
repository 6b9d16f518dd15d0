"""What a process tried with mounts when it was killed is removed by the next one; what a living one tries is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trove.cloud.local.mounts import is_mounted
from trove.cloud.local.probes import probe_directory, remove_dead_probes

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs mounts, and so root")
DIES = """
import os, signal, subprocess, sys
from pathlib import Path
from trove.cloud.local.probes import probe_directory
with probe_directory(Path(sys.argv[1])) as home:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(home / "mount")], check=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@ROOT_ONLY
def test_what_a_killed_process_had_mounted_is_gone_with_the_next_probe(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path)], check=False, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    (left,) = tmp_path.iterdir()
    assert is_mounted(left / "mount")
    with probe_directory(tmp_path) as home:
        assert [home] == list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_tries_is_left_alone(tmp_path: Path) -> None:
    with probe_directory(tmp_path) as home:
        remove_dead_probes(tmp_path)
        assert (home / "mount").is_dir()
    assert list(tmp_path.iterdir()) == []
