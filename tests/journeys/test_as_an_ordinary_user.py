"""The main journeys once more without root: another form of the local cloud, with plain directories and no users of its own."""

import os
import sys
from pathlib import Path

import pytest
from tests.support.ordinary_user import ordinary_user, python_and_tree

JOURNEYS = (
    "test_story.py::test_the_story_of_the_demo_with_the_command_line_client",
    "test_kills.py::test_a_service_killed_during_create_and_again_during_delete[trove-taskmanager]",
    "test_kills.py::test_a_killed_guest_process_of_a_running_instance_comes_back[server_pid]",
    "test_down_and_up.py::test_data_survives_down_and_up_even_with_a_killed_supervisor",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="then the journeys themselves run as an ordinary user")
def test_the_journeys_work_without_root() -> None:
    here = Path(__file__).resolve().parent
    with ordinary_user() as user:
        argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--rootdir={here.parents[1]}"]
        argv += [f"{here}/{journey}" for journey in JOURNEYS]
        done = user.run(argv, readable=python_and_tree(), timeout_s=600)
        assert done.returncode == 0, done.stdout
        assert f"{len(JOURNEYS)} passed" in done.stdout
