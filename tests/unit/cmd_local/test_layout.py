"""The state directory is found by rule, closed to others, and never somebody else's."""

import os
from pathlib import Path

import pytest

from trove.cmd.local.layout import Layout, StackError, default_root, layout_at, write_private


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_let_guests_through_and_nobody_look(tmp_path: Path, umask: int) -> None:
    layout = Layout(root=tmp_path / "deep" / "s")
    before = os.umask(umask)
    try:
        layout.create()
        layout.create()
    finally:
        os.umask(before)
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (layout.root, layout.keys, layout.log, layout.run, layout.cloud)
    }
    assert modes == {"s": 0o711, "keys": 0o700, "log": 0o700, "run": 0o711, "cloud": 0o711}


def test_a_directory_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(StackError, match="not empty"):
        Layout(root=tmp_path).create()


def test_an_option_beats_the_variable_beats_the_default(tmp_path: Path) -> None:
    named = {"TROVE_LOCAL_STATE_DIR": str(tmp_path / "variable")}
    assert layout_at(str(tmp_path / "option"), named).root == tmp_path / "option"
    assert layout_at(None, named).root == tmp_path / "variable"
    assert layout_at(None, {}).root == default_root({})


def test_users_keep_their_state_where_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_root({"XDG_STATE_HOME": "/x"}) == Path("/x/trove-local")
    assert default_root({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/trove-local"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_root({"XDG_STATE_HOME": "/x"}) == Path("/var/lib/trove-local")


def test_private_files_are_private_from_the_start(tmp_path: Path) -> None:
    write_private(tmp_path / "key", "secret")
    assert (tmp_path / "key").read_text() == "secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_path_too_long_for_a_socket_is_refused_with_what_fits(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 120)
    with pytest.raises(StackError, match="at most 94 bytes"):
        Layout(root=root).create()
    assert not root.exists()
