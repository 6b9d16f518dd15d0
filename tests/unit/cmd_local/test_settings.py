"""Options are remembered, merged and checked before anything is started."""

import dataclasses
from pathlib import Path

import pytest

from trove.cmd.local import settings
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.settings import StackSettings, merged


def test_what_was_remembered_holds_until_something_else_is_said() -> None:
    first = merged(None, {"port": 9001, "bus": None})
    second = merged(first, {"port": None, "bus": "rabbit://user:secret@broker/"})
    assert (second.port, second.bus, second.project) == (9001, "rabbit://user:secret@broker/", first.project)


def test_settings_come_back_from_disk_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    assert settings.load(layout) is None
    chosen = StackSettings(database="mysql+pymysql://trove:secret@db/trove")
    settings.save(layout, chosen)
    assert settings.load(layout) == chosen
    assert layout.settings.stat().st_mode & 0o777 == 0o600


def test_an_option_of_a_newer_version_is_ignored(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    layout.settings.write_text('{"port": 9001, "colour": "green", "project": "p"}')
    loaded = settings.load(layout)
    assert loaded is not None
    assert loaded.port == 9001


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    layout.settings.write_text("{")
    with pytest.raises(StackError, match=r"stack\.json is damaged"):
        settings.load(layout)


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"port": 0}, "--port"),
        ({"port": 65536}, "--port"),
        ({"bus": "kafka://x"}, "--bus"),
        ({"database": "oracle://x"}, "--database"),
        ({"task_managers": 0}, "--task-managers"),
        ({"task_managers": 9}, "--task-managers"),
        ({"locks": "zookeeper://x"}, "--locks"),
        ({"locks": "database"}, "--locks database: SQLite"),
        ({"watchdog_s": 0.5}, "--watchdog"),
        ({"watchdog_s": -1}, "--watchdog"),
        ({"auth_url": "http://k/v3"}, "--auth-user, --auth-password, --auth-project"),
        ({"auth_url": "http://k/v3", "auth": "basic"}, "--auth basic contradicts"),
    ],
)
def test_what_cannot_work_is_refused_by_name(chosen: dict[str, object], named: str) -> None:
    with pytest.raises(StackError, match=named):
        merged(None, chosen)


def test_a_keystone_url_chooses_keystone_and_basic_forgets_it() -> None:
    options = {"auth_url": "http://k/v3", "auth_user": "trove", "auth_password": "secret", "auth_project": "service"}
    chosen = merged(None, options)
    assert chosen.auth == settings.KEYSTONE
    back = merged(chosen, {"auth": "basic"})
    assert (back.auth, back.auth_url, back.auth_password) == (settings.BASIC, None, None)


def test_no_secret_is_in_the_repr() -> None:
    chosen = StackSettings(bus="rabbit://u:hidden@h/", database="mysql+pymysql://u:hidden@h/", auth_password="hidden")
    assert "hidden" not in repr(chosen)
    assert all(one.name not in {"auth_password", "bus", "database"} for one in dataclasses.fields(chosen) if one.repr)
