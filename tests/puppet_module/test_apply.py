"""The example site applied by Debian's Puppet, against a real RabbitMQ, MariaDB and Keystone: then the services answer."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml
from oslo_config import cfg
from tests.puppet_module.machine import REPOSITORY, Done, Machine, machine
from tests.support.keystone import ADMIN_PASSWORD, keystone, login
from tests.support.mariadb_server import HOST, MariaDbServer, mariadb_server
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitServer, rabbit_server

from trove.config import opts

MODULE = REPOSITORY / "contrib/puppet/trove"
SERVICES = {"trove-api", "trove-conductor", "trove-taskmanager@1", "trove-taskmanager@2"}
NOTHING, CHANGED = 0, 2
"""Exit codes of `puppet apply --detailed-exitcodes`."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="Puppet makes users, and files that are root's"),
]


@dataclass(kw_only=True)
class Site:
    """A machine with the module, and what surrounds it."""

    machine: Machine
    api: str
    keystone: str
    mariadb: MariaDbServer
    rabbit: RabbitServer
    values: dict[str, Any]
    passwords: dict[str, str]
    said: list[str] = field(default_factory=list)

    def apply(self, *options: str, **values: Any) -> Done:
        """Apply the example as operators would."""
        self.machine.put("/root/site/data/all-in-one.yaml", yaml.safe_dump(self.values | values))
        command = ["puppet", "apply", "--detailed-exitcodes", "--color=false", "--verbose", *options]
        command += ["--modulepath", "/etc/puppet/code/modules:/usr/share/puppet/modules"]
        done = self.machine.run(*command, "--hiera_config", "/root/site/hiera.yaml", "/root/site/site.pp")
        self.said.append(done.out)
        return done

    def get(self, path: str, user: str = "demo", password: str = "demo-secret") -> Any:
        """Ask the API as a tenant with a token of Keystone's."""
        token = login(self.keystone, user, password, user)
        request = urllib.request.Request(self.api + path, headers={"X-Auth-Token": token})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)


def wheel(directory: Path) -> Path:
    """Build the product's wheel, outside of the tree."""
    source = directory / "source"
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for each in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / each, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--disable-pip-version-check",
        "-q",
        "--no-deps",
        "-w",
        str(directory),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source)
    (found,) = directory.glob("trove-*.whl")
    return found


def lend_libraries(place: Machine, python: str) -> None:
    """Let that Python see the libraries the tests have: what the product depends on is not downloaded again."""
    own = next(each for each in sys.path if each.startswith(sys.prefix) and each.endswith("site-packages"))
    where = place.must(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    place.put(f"{where}/lent.pth", own + "\n", "0644")
    for parent in {*Path(python).resolve().parents, *Path(own).parents}:
        place.run("chmod", "o+x", str(parent))


def base_python() -> str:
    """Return the Python of the system if it is of our version, else the one that the tests' environment was made with."""
    version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    same = version.rpartition(".")[0] == f"{sys.version_info.major}.{sys.version_info.minor}"
    return "/usr/bin/python3" if same else sys._base_executable  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    with (
        mariadb_server() as mariadb,
        rabbit_server() as rabbit,
        keystone(trove_url="http://127.0.0.1:9") as identity,
        machine() as place,
    ):
        forget_trove(identity.url)
        built = wheel(place.shared)
        python = base_python()
        lend_libraries(place, python)
        passwords = {name: secrets.token_hex(12) + "$" for name in ("service",)} | {"database": secrets.token_hex(12)}
        values = {
            "site::rabbitmq_user": "control",
            "site::rabbitmq_password": rabbit.password,
            "site::rabbitmq_port": rabbit.port,
            "site::rabbitmq_management_port": rabbit.management_port,
            "site::rabbitmq_host": "127.0.0.1",
            "site::database_password": passwords["database"],
            "site::database_host": "127.0.0.1",
            "site::database_port": mariadb.port,
            "site::service_password": passwords["service"],
            "site::keystone_url": identity.url,
            "site::api_url": api,
            "trove::package_source": str(built),
            "trove::python": python,
            "trove::prerequisites": [],
            "trove::venv_options": ["--system-site-packages"],
            "trove::pip_options": ["--no-deps", "--no-index"],
            "trove::api::bind_host": "127.0.0.1",
            "trove::api::bind_port": port,
            "trove::api::workers": 1,
            "trove::taskmanager::instances": 2,
            "trove::region": "RegionOne",
        }
        set_up(place, identity.url, mariadb)
        yield Site(
            machine=place,
            api=api,
            keystone=identity.url,
            mariadb=mariadb,
            rabbit=rabbit,
            values=values,
            passwords=passwords | {"rabbit": rabbit.password, "admin": ADMIN_PASSWORD},
        )


def forget_trove(url: str) -> None:
    """Take away what the tests' Keystone has of Trove: Puppet is to make it."""
    token = login(url, "admin", ADMIN_PASSWORD, "admin")

    def call(method: str, path: str) -> Any:
        request = urllib.request.Request(url + path, method=method, headers={"X-Auth-Token": token})
        with urllib.request.urlopen(request, timeout=30) as reply:
            raw = reply.read()
            return json.loads(raw) if raw else None

    call("DELETE", f"/services/{call('GET', '/services?type=database')['services'][0]['id']}")
    call("DELETE", f"/users/{call('GET', '/users?name=trove')['users'][0]['id']}")


def set_up(place: Machine, keystone_url: str, mariadb: MariaDbServer) -> None:
    """Do what an operator has done before Puppet comes: the module, and the ways in for administrators."""
    place.must("mkdir", "-p", "/etc/puppet/code/modules", "/root/site/data")
    place.must("cp", "-r", str(MODULE), "/etc/puppet/code/modules/trove")
    place.must("cp", str(MODULE / "examples/site.pp"), str(MODULE / "examples/hiera.yaml"), "/root/site/")
    # Not as `trove`, who is Puppet's to make.
    administrator = replace(mariadb, user="operator")
    connection = pymysql.connect(host=HOST, port=mariadb.port, user=mariadb.user, password=mariadb.password)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE USER %s IDENTIFIED BY %s", (administrator.user, administrator.password))
        cursor.execute("GRANT ALL ON *.* TO %s WITH GRANT OPTION", (administrator.user,))
    place.put(
        "/root/.my.cnf",
        f"[client]\nhost={HOST}\nport={mariadb.port}\nuser={administrator.user}\npassword={administrator.password}\nprotocol=tcp\n",
    )
    auth = {
        "auth_url": keystone_url,
        "username": "admin",
        "password": ADMIN_PASSWORD,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    place.put(
        "/etc/openstack/clouds.yaml", yaml.safe_dump({"clouds": {"openstack": {"auth": auth, "region_name": "RegionOne"}}})
    )
    # Facts of public clouds are looked for on the network.
    place.put("/etc/facter/facter.conf", 'facts : { blocklist : [ "EC2", "GCE", "Azure" ] }\n', "0644")


def test_a_site_from_nothing(site: Site) -> None:
    """One test, as each part stands on the one before: nothing, all of it, nothing to do, one change, a look for secrets."""
    # The machine's own files may be changed from outside meanwhile; these are Puppet's alone.
    places = "/etc/trove /opt/trove /var/lib/trove /var/log/trove /etc/systemd/system/trove* /usr/local/bin/trove*"
    look = ["sh", "-c", f"ls -lAd {places}; id trove"]
    before = site.machine.run(*look).out
    with_noop = site.apply("--noop")
    assert with_noop.code == NOTHING, with_noop.out[-4000:]
    assert "Service[trove-api]/ensure: current_value 'stopped', should be 'running' (noop)" in with_noop.out
    assert site.machine.run(*look).out == before

    first = site.apply()
    assert first.code == CHANGED, first.out[-8000:]
    answered(site)
    files_are_closed(site)
    the_configuration_is_ours(site)

    running = site.machine.pids()
    assert set(running) == SERVICES
    second = site.apply()
    assert second.code == NOTHING, "\n".join(line for line in second.out.splitlines() if line.startswith("Notice"))
    assert site.machine.pids() == running

    only_what_must_is_restarted(site, running)
    secrets_are_kept(site)


def answered(site: Site) -> None:
    """The API serves a tenant with Keystone's token, and task managers and conductor are ready."""
    manage = ["/usr/local/bin/trove-manage", "datastore", "version-update", "mariadb", "10.11", "mariadb", "--image-id", "host"]
    site.machine.must("setpriv", "--reuid=trove", "--regid=trove", "--clear-groups", *manage)
    project = next(each for each in catalogue(site) if each.startswith(site.api))
    found = site.get(project.removeprefix(site.api) + "/datastores")["datastores"]
    assert [each["name"] for each in found] == ["mariadb"]


def catalogue(site: Site) -> list[str]:
    """Return the URLs of the service `database`, as Keystone tells a tenant."""
    token = login(site.keystone, "demo", "demo-secret", "demo")
    request = urllib.request.Request(f"{site.keystone}/auth/catalog", headers={"X-Auth-Token": token})
    with urllib.request.urlopen(request, timeout=30) as reply:
        services = json.load(reply)["catalog"]
    (database,) = [each for each in services if each["type"] == "database"]
    assert sorted(each["interface"] for each in database["endpoints"]) == ["admin", "internal", "public"]
    return [each["url"] for each in database["endpoints"]]


def files_are_closed(site: Site) -> None:
    """Files with secrets are for the service and root alone."""
    paths = {
        "/etc/trove": "750 root:trove",
        "/etc/trove/trove.conf": "640 root:trove",
        "/etc/trove/api-paste.ini": "640 root:trove",
        "/etc/trove/policy.yaml": "640 root:trove",
        "/etc/trove/secret.key": "600 trove:trove",
        "/var/lib/trove": "700 trove:trove",
        "/var/log/trove": "750 trove:trove",
        "/etc/systemd/system/trove-api.service": "644 root:root",
    }
    shown = site.machine.must("stat", "-c", "%a %U:%G", *paths).splitlines()
    assert dict(zip(paths, shown, strict=True)) == paths


def the_configuration_is_ours(site: Site) -> None:
    """Our services read what Puppet wrote: `$` of a password arrives as it was."""
    place = site.machine.shared / "trove.conf"
    site.machine.must("cp", "/etc/trove/trove.conf", str(place))
    conf = cfg.ConfigOpts()
    opts.load(conf, ["--config-file", str(place)], prog="test", description="")
    place.unlink()
    assert conf.service_credentials.password == site.passwords["service"]
    assert conf.bind_port == int(site.api.rpartition(":")[2])
    assert conf.taskmanager.lock_url.startswith("mysql://trove:")
    assert conf.cloud == "openstack"


def only_what_must_is_restarted(site: Site, running: dict[str, int]) -> None:
    """An option of the API restarts the API alone. Which options restart which services is the specs' matter."""
    for_api = site.apply(**{"trove::api::http_get_rate": 1000})
    assert for_api.code == CHANGED, for_api.out[-4000:]
    now = site.machine.pids()
    assert {name for name in SERVICES if now[name] != running[name]} == {"trove-api"}
    answered(site)


def secrets_are_kept(site: Site) -> None:
    """No password in what Puppet and the services said, nor in a file that others can read, nor in Puppet's own."""
    key = site.machine.must("cat", "/etc/trove/secret.key").strip()
    kept = [*site.passwords.values(), key]
    logs = [site.machine.log(unit) for unit in sorted(SERVICES)]
    assert all(logs)
    for secret in kept:
        assert all(secret not in said for said in site.said + logs)
    site.machine.put("/root/kept", "\n".join(kept) + "\n")
    places = ["/etc/trove", "/etc/systemd", "/var/log", "/var/lib/trove", "/var/lib/puppet", "/var/cache/puppet"]
    found = site.machine.run("grep", "-rlsFf", "/root/kept", *places).out.split()
    assert {"/etc/trove/trove.conf", "/etc/trove/secret.key"} <= set(found)
    for path in found:
        assert int(site.machine.must("stat", "-c", "%a", path), 8) & 0o007 == 0, path
