"""The samples for several machines: what they name exists, is read, and fits together."""

import configparser
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import keystonemiddleware.opts
import oslo_middleware.opts
import pytest
from oslo_config import cfg
from tests.support.certificates import write_certificates
from tests.support.private_process import program

from trove.bus.admission import _with_user
from trove.bus.links import expand_amqp
from trove.bus.management import ManagementApi
from trove.cmd import wiring
from trove.config import opts
from trove.core.errors import InvalidInput

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "etc" / "trove" / "trove.conf.multinode.sample"
PROXY = ROOT / "contrib" / "haproxy" / "trove.cfg"
FILES = "ssl=1&ssl_ca_certs=/ca.pem&ssl_certfile=/c&ssl_keyfile=/k"
RABBITS = ["rabbit1.example.org", "rabbit2.example.org", "rabbit3.example.org"]


def named() -> set[tuple[str, str]]:
    parser = configparser.RawConfigParser(default_section="none")
    parser.read(SAMPLE)
    return {(section, option) for section in parser.sections() for option in parser.options(section)}


def loaded() -> cfg.ConfigOpts:
    return opts.load(cfg.ConfigOpts(), [f"--config-file={SAMPLE}"], prog="trove-api", description="")


def test_every_option_exists_and_none_is_an_old_name() -> None:
    known = {(group, option.dest) for group, members in opts.list_opts() for option in members}
    for listed in (*keystonemiddleware.opts.list_auth_token_opts(), *oslo_middleware.opts.list_opts()):
        known |= {(listed[0], option.dest) for option in listed[1]}
    # Of keystoneauth's plugin `password`.
    login = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
    known |= {("keystone_authtoken", name) for name in login}
    assert not named() - known


def test_the_programs_read_it() -> None:
    conf = loaded()
    assert conf.cloud == "openstack"
    urls, tls = expand_amqp(wiring.transport_url(conf))
    assert [urlsplit(url).hostname for url in urls] == RABBITS
    assert tls is not None
    assert tls["ca_certs"] == conf.oslo_messaging_rabbit.ssl_ca_file
    guests, guests_tls = expand_amqp(_with_user(conf.bus.guest_transport_url, "guest-1", "secret"))
    assert {urlsplit(url).username for url in guests} == {"guest-1"}
    assert len(guests) == len(RABBITS)
    assert guests_tls is not None
    assert all(host in repr(ManagementApi(conf.bus.management_url)) for host in RABBITS)
    # Locks are where the state is.
    assert conf.database.connection.partition("://")[2] == conf.taskmanager.lock_url.partition("://")[2]


def test_haproxy_takes_its_part(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    pem = tmp_path / "trove.pem"
    pem.write_bytes((tmp_path / "server.pem").read_bytes() + (tmp_path / "server.key").read_bytes())
    config = tmp_path / "trove.cfg"
    config.write_text(PROXY.read_text().replace("/etc/haproxy/trove.pem", str(pem)))
    done = subprocess.run(
        [program("/usr/sbin/haproxy", "haproxy"), "-c", "-f", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("[oslo_messaging_rabbit]\nrabbit_quorum_queue = false\n", "rabbit_quorum_queue"),
        ("[DEFAULT]\ntransport_url = valkey://h\n[oslo_messaging_rabbit]\nssl = true\n", "valkeys://"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "trove.conf"
    file.write_text(lines)
    conf = opts.load(cfg.ConfigOpts(), [f"--config-file={file}"], prog="trove-api", description="")
    with pytest.raises(InvalidInput, match=said):
        wiring.transport_url(conf)


@pytest.mark.parametrize(
    ("scheme", "ssl", "query"),
    [("rabbit", "false", ""), ("rabbit", "true", FILES), ("amqps", "false", FILES)],
)
def test_the_options_of_tls_become_part_of_the_url(tmp_path: Path, scheme: str, ssl: str, query: str) -> None:
    file = tmp_path / "trove.conf"
    file.write_text(
        f"[DEFAULT]\ntransport_url = {scheme}://u:p@a,u:p@b/v\n"
        f"[oslo_messaging_rabbit]\nssl = {ssl}\nssl_ca_file = /ca.pem\nssl_cert_file = /c\nssl_key_file = /k\n"
    )
    conf = opts.load(cfg.ConfigOpts(), [f"--config-file={file}"], prog="trove-api", description="")
    assert urlsplit(wiring.transport_url(conf)).query == query
    assert "certfile" not in wiring.transport_url(conf, own_certificate=False)
