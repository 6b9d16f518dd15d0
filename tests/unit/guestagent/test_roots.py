"""Programs are found inside the root that they will run in, and the user they run as has a name there."""

import os
from pathlib import Path

from trove.guestagent.roots import find_program, missing_accounts


def make_program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_programs_are_found_in_the_root_alone(tmp_path: Path) -> None:
    make_program(tmp_path / "usr/bin/ours")
    make_program(tmp_path / "usr/lib/server/9/bin/serverd")
    (tmp_path / "usr/sbin").mkdir()
    (tmp_path / "usr/bin/plain").write_text("no program")
    assert find_program(tmp_path, ["sh"]) is None
    assert find_program(tmp_path, ["sh", "plain", "ours"]) == "/usr/bin/ours"
    assert find_program(tmp_path, ["/usr/lib/server/10/bin/serverd", "/usr/lib/server/9/bin/serverd"]) == (
        "/usr/lib/server/9/bin/serverd"
    )
    assert find_program(tmp_path, ["/bin/sh"]) is None
    assert find_program(None, ["/bin/sh"]) == "/bin/sh"
    assert find_program(None, ["no-such", "sh"]) is not None


def test_links_of_a_root_lead_nowhere_else(tmp_path: Path) -> None:
    make_program(tmp_path / "usr/bin/real")
    for name, target in (("one", "/usr/bin/two"), ("two", "real"), ("outside", "/bin/sh"), ("circle", "circle")):
        (tmp_path / "usr/bin" / name).symlink_to(target)
    assert find_program(tmp_path, ["circle", "outside", "one"]) == "/usr/bin/one"
    make_program(tmp_path / "usr/bin/sh")
    (tmp_path / "bin").symlink_to("usr/bin")
    assert find_program(tmp_path, ["outside"]) == "/usr/bin/outside"


def test_in_an_image_there_are_root_and_this_user(tmp_path: Path) -> None:
    lists = missing_accounts(tmp_path, Path("/data"))
    users = [line.split(":") for line in lists[Path("/etc/passwd")].splitlines()]
    groups = [line.split(":") for line in lists[Path("/etc/group")].splitlines()]
    assert {int(user[2]) for user in users} == {0, os.geteuid()}
    assert users[-1][2:6] == [str(os.geteuid()), str(os.getegid()), "", "/data"]
    assert groups[-1][2] == str(os.getegid())
    assert all(len(user) == 7 for user in users)
    assert all(len(group) == 4 for group in groups)
