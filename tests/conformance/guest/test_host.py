"""The host door of an agent that is root: the server's user gets no further by it than by himself."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support import host_of_a_user
from tests.support.guests import machines_directory
from tests.support.virtual_machines import need_root, restricted


def test_what_a_conquered_server_leaves_behind_opens_nothing() -> None:
    need_root()
    with machines_directory() as folder:
        assert_shut(folder)


def assert_shut(folder: Path) -> None:
    (folder / "of-root").write_text("as it was")
    (folder / "of-root").chmod(0o600)
    line = [sys.executable, "-B", str(Path(host_of_a_user.__file__)), str(folder)]
    done = subprocess.run(restricted(line), capture_output=True, text=True, check=False, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["uid"], told["owner"]) == (str(host_of_a_user.USER),) * 2
    assert (told["streamed"], told["own"]) == ("True", "secret")
    assert "did not end" in told["hung"]
    assert "Permission denied" in told["read"]
    assert (folder / "of-root").read_text() == "as it was"
    for name, owner in (("agent", 0), ("data", host_of_a_user.USER), ("log", host_of_a_user.USER)):
        assert ((folder / name).stat().st_uid, (folder / name).stat().st_mode & 0o777) == (owner, 0o700)
