"""The generated configuration says what the options say, and the services can read it."""

from pathlib import Path

import pytest
from oslo_config import cfg

from trove.cmd.local.configure import configure, ini_text
from trove.cmd.local.layout import Layout
from trove.cmd.local.services import SERVICES, read_services
from trove.cmd.local.settings import StackSettings
from trove.config import opts


def read(layout: Layout) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    opts.load(conf, ["--config-file", str(layout.conf)], prog="test", description="")
    return conf


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(root=tmp_path / "s")
    made.create()
    return made


def test_an_embedded_stack_runs_five_services_bus_first(layout: Layout) -> None:
    configure(layout, StackSettings(port=9001))
    assert tuple(service.name for service in read_services(layout)) == SERVICES
    conf = read(layout)
    assert (conf.bind_host, conf.bind_port, conf.auth_strategy) == ("127.0.0.1", 9001, "basic")
    assert conf.database.connection == f"sqlite:///{layout.root}/trove.sqlite"
    assert conf.transport_url.startswith("valkey+unix://")
    assert Path(conf.api_paste_config).is_file()


def test_task_managers_are_told_apart_by_their_number(layout: Layout) -> None:
    configure(layout, StackSettings(task_managers=3, watchdog_s=7))
    wanted = read_services(layout)
    assert [service.name for service in wanted if service.argv[2] == "trove.cmd.taskmanager"] == [
        "trove-taskmanager",
        "trove-taskmanager-2",
        "trove-taskmanager-3",
    ]
    assert {service.watchdog_s for service in wanted} == {7}


def test_without_a_watchdog_nobody_is_watched(layout: Layout) -> None:
    configure(layout, StackSettings(watchdog_s=0))
    assert {service.watchdog_s for service in read_services(layout)} == {None}


@pytest.mark.parametrize(
    ("locks", "database", "url"),
    [
        ("file", "sqlite", "file://{root}/run/locks"),
        ("file", "mysql+pymysql://u:p@h/trove", "file://{root}/run/locks"),
        ("database", "mysql+pymysql://u:a$b%24@h:3307/trove", "mysql://u:a$b%24@h:3307/trove"),
        ("database", "postgresql+psycopg://u:p@h/trove", "postgresql://u:p@h/trove"),
        ("etcd3+http://h:2379", "sqlite", "etcd3+http://h:2379"),
    ],
)
def test_the_locks_are_those_that_were_chosen(layout: Layout, locks: str, database: str, url: str) -> None:
    configure(layout, StackSettings(locks=locks, database=database))
    assert read(layout).taskmanager.lock_url == url.format(root=layout.root)


def test_an_external_bus_is_not_run(layout: Layout) -> None:
    configure(layout, StackSettings(bus="rabbit://u:p@h/"))
    assert "bus" not in [service.name for service in read_services(layout)]
    assert read(layout).transport_url == "rabbit://u:p@h/"


def test_a_password_with_a_dollar_arrives_as_it_is(layout: Layout) -> None:
    configure(layout, StackSettings(database="mysql+pymysql://u:a$b%24@h/trove"))
    assert read(layout).database.connection == "mysql+pymysql://u:a$b%24@h/trove"


def test_the_users_own_options_are_read_last_and_survive(layout: Layout) -> None:
    layout.override.write_text("[DEFAULT]\nreport_interval = 7\n")
    configure(layout, StackSettings())
    api = read_services(layout)[-1]
    assert api.argv[-4:] == ("--config-file", str(layout.conf), "--config-file", str(layout.override))
    assert "7" in layout.override.read_text()


def test_secrets_are_on_no_command_line_and_in_no_open_file(layout: Layout) -> None:
    configure(layout, StackSettings(database="mysql+pymysql://u:hidden@h/trove"))
    secrets = [(layout.keys / name).read_text().strip() for name in ("bus.password", "admin.password")] + ["hidden"]
    for service in read_services(layout):
        assert not any(secret in word for secret in secrets for word in service.argv)
    for path in layout.root.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            assert not any(secret in path.read_text() for secret in secrets)


def test_configuring_twice_keeps_keys_and_passwords(layout: Layout) -> None:
    settings = StackSettings()
    configure(layout, settings)
    before = {path.name: path.read_text() for path in layout.keys.iterdir()}
    configure(layout, settings)
    assert {path.name: path.read_text() for path in layout.keys.iterdir()} == before


def test_dollars_are_doubled() -> None:
    assert ini_text({"a": {"b": "x$y"}}).endswith("[a]\nb = x$$y\n")
