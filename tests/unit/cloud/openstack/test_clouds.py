"""From options to the OpenStack cloud: what operators set is what it is used with."""

from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from trove.cloud.barbican import BarbicanKeys, BarbicanSettings
from trove.cloud.memory import MemoryCloud
from trove.cloud.openstack import OpenStackCloud
from trove.cloud.openstack.ports import Rule, rules_for
from trove.cloud.openstack.settings import ZoneSettings
from trove.cmd import clouds
from trove.config import opts
from trove.core.errors import InvalidInput
from trove.core.instances import Access


def conf_of(path: Path, text: str) -> Any:
    path.write_text(text)
    conf = cfg.ConfigOpts()
    return opts.load(conf, [f"--config-file={path}"], prog="trove-test", description="")


TEXT = """
[DEFAULT]
cloud = openstack
management_networks = mgmt
nova_compute_endpoint_type = internalURL
glance_url = https://images.example.org
cinder_service_type = volumev3
barbican_url = https://keys.example.org
barbican_endpoint_type = internalURL
dns_endpoint_url = https://names.example.org
designate_endpoint_type = internalURL
trove_dns_support = true
dns_driver = trove.dns.designate.driver.DesignateDriver
dns_domain_name = db.example.org
dns_ttl = 60
online_volume_resize = false
cloudinit_location = {folder}
[service_credentials]
auth_url = https://keystone.example.org/v3
username = trove
password = s3cret
region_name = north
[network]
public_network_id = outside
"""


def test_options_reach_the_cloud(tmp_path: Path) -> None:
    (tmp_path / "mysql.cloudinit").write_text("#cloud-config\npackages: [vim]\n")
    conf = conf_of(tmp_path / "trove.conf", TEXT.format(folder=tmp_path))
    made = clouds.cloud(conf)
    assert clouds.names(conf, made) is made
    assert isinstance(made, OpenStackCloud)
    settings = made._settings
    assert settings.auth["password"] == "s3cret"
    assert "s3cret" not in repr(settings)
    assert (settings.region, settings.management_networks, settings.public_network) == ("north", ("mgmt",), "outside")
    assert settings.online_volume_growth is False
    assert settings.zone == ZoneSettings(name="db.example.org", ttl_s=60)
    assert settings.extra_userdata == {"mysql": "#cloud-config\npackages: [vim]\n"}
    assert settings.overrides == {
        "compute_interface": "internal",
        "block_storage_interface": "public",
        "network_interface": "public",
        "image_interface": "public",
        "dns_interface": "internal",
        "dns_endpoint_override": "https://names.example.org",
        "image_endpoint_override": "https://images.example.org",
        "block_storage_service_type": "volumev3",
    }


def test_without_a_password_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\[service_credentials\] password"):
        clouds.cloud(conf_of(tmp_path / "trove.conf", "[DEFAULT]\ncloud = openstack\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cloud = local", "cloud = local has no DNS"),
        ("cloud = memory\ndns_driver = trove.dns.driver.DnsDriver", "dns_driver: 'trove.dns.driver.DnsDriver' is not there"),
        ("cloud = openstack", "dns_domain_name or dns_domain_id must say"),
    ],
)
def test_names_that_cannot_be_are_refused_with_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    login = "[service_credentials]\npassword = s3cret\n[secrets]\n"
    conf = conf_of(
        tmp_path / "trove.conf", f"[DEFAULT]\ntrove_dns_support = true\n{text}\n{login}[local]\nstate_dir = {tmp_path}\n"
    )
    with pytest.raises(InvalidInput, match=told):
        clouds.names(conf, clouds.cloud(conf))


def test_options_reach_the_key_manager(tmp_path: Path) -> None:
    made = clouds.keys(conf_of(tmp_path / "trove.conf", TEXT.format(folder=tmp_path)))
    assert isinstance(made, BarbicanKeys)
    wanted = BarbicanSettings(url="https://keys.example.org", interface="internalURL", region="north")
    assert made._settings == wanted


def test_where_callers_have_no_tokens_there_is_no_key_manager(tmp_path: Path) -> None:
    assert clouds.keys(conf_of(tmp_path / "trove.conf", "[DEFAULT]\nauth_strategy = basic\n")) is None


def test_there_are_no_names_unless_they_are_switched_on(tmp_path: Path) -> None:
    conf = conf_of(tmp_path / "trove.conf", "[DEFAULT]\ncloud = memory\n")
    assert clouds.names(conf, MemoryCloud()) is None


def test_rules_are_for_each_network_and_each_port() -> None:
    access = Access(allowed_cidrs=("10.0.0.0/8", "2001:db8::/32"))
    rules = rules_for(access, (1, 2), default_cidr="0.0.0.0/0")
    assert {(rule.cidr, rule.tcp_port, rule.ether_type) for rule in rules} == {
        ("10.0.0.0/8", 1, "IPv4"),
        ("10.0.0.0/8", 2, "IPv4"),
        ("2001:db8::/32", 1, "IPv6"),
        ("2001:db8::/32", 2, "IPv6"),
    }
    assert rules_for(None, (1,), default_cidr="::/0") == {Rule(cidr="::/0", tcp_port=1)}
