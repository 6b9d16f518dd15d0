"""A real Designate for tests, in a cached environment of its own beside Keystone's, and a real BIND that serves its zones."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import openstack
from tests.support import keystone as keystones
from tests.support.keystone import Keystone
from tests.support.ports import free_port
from tests.support.service_process import READY_S, ServiceProcess

DESIGNATE = "designate==23.0.0"
RUN = Path(__file__).with_name("name_service_run.py")

_CONFIG = """
[DEFAULT]
log_file = {dir}/designate.log
use_stderr = false
transport_url = fake:/
host = designate
root_helper =
[oslo_concurrency]
lock_path = {dir}
[storage:sqlalchemy]
connection = sqlite:///{dir}/designate.db
[service:api]
api_paste_config = {paste}
auth_strategy = keystone
enable_host_header = true
[service:mdns]
listen = 127.0.0.1:{mdns_port}
[service:worker]
# At once, it would ask before BIND has the new zone, be content with the old one, and leave the record as it is.
poll_delay = 2
poll_retry_interval = 1
poll_timeout = 5
[service:producer]
enabled_tasks = delayed_notify,increment_serial
[producer_task:delayed_notify]
interval = 1
[producer_task:increment_serial]
interval = 1
[keystone_authtoken]
auth_type = password
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
username = designate
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default
"""
"""Of the loopback driver for messages, `fake`, only the name is not serious: all of Designate share a process."""

_POOLS = """
- name: default
  ns_records:
    - hostname: ns1.example.org.
      priority: 1
  nameservers:
    - host: 127.0.0.1
      port: {named_port}
  targets:
    - type: bind9
      masters:
        - host: 127.0.0.1
          port: {mdns_port}
      options:
        host: 127.0.0.1
        port: {named_port}
        rndc_host: 127.0.0.1
        rndc_port: {rndc_port}
        rndc_bin_path: {rndc}
        rndc_config_file: {dir}/rndc.conf
"""

_NAMED = """
include "{dir}/rndc.key";
controls {{ inet 127.0.0.1 port {rndc_port} allow {{ 127.0.0.1; }} keys {{ "rndc"; }}; }};
options {{
    directory "{dir}/named";
    pid-file none;
    session-keyfile "{dir}/named/session.key";
    listen-on port {named_port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    allow-new-zones yes;
    recursion no;
    notify no;
    minimal-responses yes;
}};
"""

_KEY = """key "rndc" {{ algorithm hmac-sha256; secret "{secret}"; }};\n"""
_RNDC = """include "{dir}/rndc.key";\noptions {{ default-key "rndc"; }};\n"""


@dataclass(kw_only=True)
class Designate(ServiceProcess):
    """A running Designate, whose zones a BIND on `named_port` of loopback serves."""

    keystone: Keystone
    named_port: int

    def connection(self, user: str, password: str, project: str) -> Any:
        """Return an openstacksdk connection as a user of Keystone's."""
        auth = {
            "auth_url": self.keystone.url,
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        return openstack.connection.Connection(auth=auth, region_name="RegionOne")

    def zone(self, name: str, user: str = "trove", password: str = keystones.SERVICE_PASSWORD, project: str = "service") -> str:
        """Make a zone that belongs to the project of a user, wait until the name server has it, and return its id."""
        dns = self.connection(user, password, project).dns
        made = dns.create_zone(name=f"{name}.", email="hostmaster@example.org")
        deadline = time.monotonic() + READY_S
        while dns.get_zone(made.id).status != "ACTIVE":
            assert time.monotonic() < deadline, self.story()
            time.sleep(0.2)
        return str(made.id)

    def ask(self, name: str, kind: str = "A") -> set[str]:
        """Return what the name server says of a name."""
        question = dns.message.make_query(name, kind)
        reply = dns.query.tcp(question, "127.0.0.1", port=self.named_port, timeout=10)
        wanted = dns.rdatatype.from_text(kind)
        return {str(each) for found in reply.answer if found.rdtype == wanted for each in found}


@contextlib.contextmanager
def designate(keystone: Keystone) -> Iterator[Designate]:
    """Start a fresh Designate and enter it in the catalogue of a Keystone; both are removed afterwards."""
    python = keystones.environment_beside(DESIGNATE)
    directory = Path(tempfile.mkdtemp(prefix="trove-designate-"))
    port, named_port, rndc_port, mdns_port = free_port(), free_port(), free_port(), free_port()
    words: dict[str, Any] = {"dir": directory, "named_port": named_port, "rndc_port": rndc_port, "mdns_port": mdns_port}
    words |= {"paste": python.parents[1] / "etc" / "designate" / "api-paste.ini", "rndc": _program("rndc")}
    words |= {"auth_url": keystone.url, "password": keystones.SERVICE_PASSWORD, "secret": secrets.token_hex(16)}
    config, pools = directory / "designate.conf", directory / "pools.yaml"
    config.touch(mode=0o600)
    (directory / "rndc.key").touch(mode=0o600)
    texts = {"designate.conf": _CONFIG, "pools.yaml": _POOLS, "named.conf": _NAMED, "rndc.key": _KEY, "rndc.conf": _RNDC}
    for name, text in texts.items():
        (directory / name).write_text(text.format(**words))
    (directory / "named").mkdir()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as after:
        after.callback(shutil.rmtree, directory, ignore_errors=True)
        keystones.add_service_user(keystone.url, "designate", keystone.projects["service"])
        after.callback(keystones.offer(keystone.url, "dns", url))
        manage = [str(python.with_name("designate-manage")), "--config-file", str(config), "database", "sync"]
        done = subprocess.run(manage, capture_output=True, text=True, check=False, cwd=directory)
        assert done.returncode == 0, done.stderr[-3000:]
        with (directory / "named.log").open("wb") as log:
            named = subprocess.Popen([_program("named"), "-f", "-c", str(directory / "named.conf")], stdout=log, stderr=log)
        after.callback(named.wait)
        after.callback(named.kill)
        argv = [str(python), "-W", "ignore", str(RUN), str(config), str(port), str(pools)]
        running = Designate(url=url, keystone=keystone, directory=directory, named_port=named_port, argv=argv)
        after.callback(running.kill)
        running.start()
        yield running


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found, f"{name} is not there; tools/setup test installs it (Debian's bind9)"
    return found
