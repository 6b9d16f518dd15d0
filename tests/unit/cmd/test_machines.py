"""From the configuration to what guests on machines of their own are told."""

from pathlib import Path

import pytest
from oslo_config import cfg

from trove.cmd import machines
from trove.config import opts
from trove.core.errors import InvalidInput


def load(tmp_path: Path, text: str, cloud: str = "openstack") -> cfg.ConfigOpts:
    path = tmp_path / "trove.conf"
    path.write_text(f"[DEFAULT]\ncloud = {cloud}\nguest_config = {tmp_path}/agents.conf\n{text}")
    conf = cfg.ConfigOpts()
    return opts.load(conf, ["--config-file", str(path)], prog="test", description="")


def test_clouds_that_tell_their_guests_themselves_need_none(tmp_path: Path) -> None:
    assert machines.machines(load(tmp_path, "", cloud="local")) is None
    assert machines.machines(load(tmp_path, "", cloud="memory")) is None


def test_every_engine_has_its_place(tmp_path: Path) -> None:
    made = machines.machines(load(tmp_path, "[mysql]\nmount_point = /data/mysql/\n"))
    assert made is not None
    assert made.mount_points == {
        "mariadb": "/var/lib/mysql",
        "mysql": "/data/mysql",
        "percona": "/var/lib/mysql",
        "postgresql": "/var/lib/postgresql",
        "redis": "/var/lib/redis",
        "valkey": "/var/lib/valkey",
    }
    assert (made.volume_fstype, made.format_options, made.mount_options) == ("ext4", "-m 5", "defaults,noatime")
    assert (made.ca, made.agent_options, made.uid) == (None, "", 1001)


def test_the_options_of_ext4_are_not_those_of_xfs(tmp_path: Path) -> None:
    made = machines.machines(load(tmp_path, "volume_fstype = xfs\n"))
    assert made is not None
    assert made.format_options == ""
    made = machines.machines(load(tmp_path, "volume_fstype = xfs\nformat_options = -K\n"))
    assert made is not None
    assert made.format_options == "-K"


def test_certificates_of_all_authorities_go_along(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n\n")
    files = f"[oslo_messaging_rabbit]\nssl_ca_file = {tmp_path}/a\n[service_credentials]\ncafile = {tmp_path}/b\n"
    made = machines.machines(load(tmp_path, files + f"[objectstore]\ns3_ca_file = {tmp_path}/a\n"))
    assert made is not None
    assert made.ca == b"a\nb\n"
    made = machines.machines(load(tmp_path, f"guest_ca_file = {tmp_path}/b\n{files}"))
    assert made is not None
    assert made.ca == b"b\n"


def test_all_the_authorities_of_a_system_are_too_many(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("x" * 20_000)
    with pytest.raises(InvalidInput, match=r"guest_ca_file.*bundle is larger"):
        machines.machines(load(tmp_path, f"[oslo_messaging_rabbit]\nssl_ca_file = {tmp_path}/bundle\n"))


def test_the_operators_options_for_agents_are_read(tmp_path: Path) -> None:
    (tmp_path / "agents.conf").write_text("[DEFAULT]\ndebug = true\n")
    made = machines.machines(load(tmp_path, ""))
    assert made is not None
    assert "debug = true" in made.agent_options


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("device_path = vdb\n", "device_path"),
        ("[redis]\nmount_point = /\n", r"\[redis\] mount_point"),
        ("[redis]\nmount_point = data\n", r"\[redis\] mount_point"),
        ("guest_ca_file = /nowhere.pem\n", "guest_ca_file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        machines.machines(load(tmp_path, text))


def test_options_for_agents_that_are_none_are_refused_without_being_told(tmp_path: Path) -> None:
    (tmp_path / "agents.conf").write_text("password-without-a-section\n")
    with pytest.raises(InvalidInput, match="guest_config") as told:
        machines.machines(load(tmp_path, ""))
    assert "password" not in told.value.message
