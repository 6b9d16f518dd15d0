"""How many connections trove-api takes, by the limit of open files."""

import subprocess
import sys

import pytest

from trove.cmd.http_server import OWN_FILES

CODE = """
import resource
from trove.cmd.http_server import _connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(_connections({wanted}), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "taken", "soft_after"),
    [
        (1000, 2000, 100, 100, 1000),
        (1000, 2000, 1500, 1500, 1500 + OWN_FILES),
        (1000, 2000, 5000, 2000 - OWN_FILES, 2000),
        (100, 100, 5000, 1, 100),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_needed_and_allowed(
    soft: int, hard: int, wanted: int, taken: int, soft_after: int
) -> None:
    code = CODE.format(soft=soft, hard=hard, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(taken), str(soft_after), str(hard)]
