"""Options: named as operators know them, each explained, and readable from files."""

from pathlib import Path

import pytest
from oslo_config import cfg, generator

from trove.config import opts

KNOWN = {
    "bind_host": "0.0.0.0",
    "bind_port": 8779,
    "api_paste_config": "api-paste.ini",
    "max_instances_per_tenant": 10,
    "max_volumes_per_tenant": 40,
    "max_backups_per_tenant": 50,
    "max_ram_per_tenant": -1,
    "max_accepted_volume_size": 10,
    "report_interval": 30,
    "agent_heartbeat_expiry": 90,
    "agent_call_low_timeout": 15,
    "agent_call_high_timeout": 180,
    "usage_timeout": 1800,
    "trove_dns_support": False,
    "dns_domain_name": None,
    "dns_domain_id": None,
    "dns_ttl": 300,
    "dns_time_out": 120,
    "http_get_rate": 200,
    "instances_page_size": 20,
}


def options() -> list[tuple[str, cfg.Opt]]:
    return [(group, option) for group, members in opts.list_opts() for option in members]


@pytest.mark.parametrize("name", KNOWN)
def test_names_and_defaults_are_those_operators_know(name: str):
    conf = cfg.ConfigOpts()
    opts.register(conf)
    assert conf[name] == KNOWN[name]


def test_every_option_is_explained_in_a_sentence():
    for group, option in options():
        assert option.help, f"[{group}] {option.name}"
        assert option.help.endswith("."), f"[{group}] {option.name}"


def test_what_may_hold_a_password_is_secret():
    secret = {f"{group}.{option.name}" for group, option in options() if option.secret}
    assert secret >= {"DEFAULT.transport_url", "database.connection", "bus.management_url", "taskmanager.lock_url"}


def test_no_option_is_declared_twice():
    names = [(group, option.name) for group, option in options()]
    assert len(names) == len(set(names))


def test_files_are_read_and_registration_may_run_twice(tmp_path: Path):
    (tmp_path / "trove.conf").write_text("[DEFAULT]\nbind_port = 9\n[taskmanager]\nworkers = 3\n")
    conf = cfg.ConfigOpts()
    opts.register(conf)
    opts.load(conf, ["--config-file", str(tmp_path / "trove.conf")], prog="trove-x", description="")
    assert (conf.bind_port, conf.taskmanager.workers) == (9, 3)
    assert opts.config_dir(conf) == tmp_path


@pytest.mark.parametrize("content", ["[DEFAULT]\nbind_port = many\n", "no section"])
def test_a_broken_file_ends_the_program_with_2_and_a_sentence(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "trove.conf").write_text(content)
    conf = cfg.ConfigOpts()
    with pytest.raises(SystemExit) as caught:
        opts.load(conf, ["--config-file", str(tmp_path / "trove.conf")], prog="trove-x", description="")
    assert caught.value.code == 2
    assert "trove-x: " in capsys.readouterr().err


def test_the_sample_can_be_made_and_names_no_machine(tmp_path: Path):
    sample = tmp_path / "sample"
    generator.main(["--namespace", "trove", "--output-file", str(sample)])
    text = sample.read_text()
    assert "#bind_port = 8779" in text
    assert str(Path.cwd()) not in text
    assert "[taskmanager]" in text
