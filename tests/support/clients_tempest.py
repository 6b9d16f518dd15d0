"""trove-tempest-plugin in a cached environment of its own, since what it depends on (eventlet among it) is not for ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import keystone as keystones
from tests.support.clients import Clients

PACKAGES = ("tempest==47.0.0", "trove-tempest-plugin==2.8.0")
RUN = Path(__file__).with_name("clients_tempest_run.py")

CONFIG = """
[DEFAULT]
log_file = {dir}/tempest.log
[oslo_concurrency]
lock_path = {dir}/locks
[auth]
use_dynamic_credentials = true
tempest_roles = member
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
[identity]
uri_v3 = {auth_url}
auth_version = v3
region = RegionOne
[identity-feature-enabled]
api_v2 = false
[service_available]
trove = true
swift = true
nova = true
neutron = false
cinder = false
glance = false
[database]
enabled_datastores = mariadb
default_datastore_versions = mariadb:10.11
pre_upgrade_datastore_versions = mariadb:10.11
flavor_id = 1
resize_flavor_id = 2
volume_type = local
shared_network = {network}
database_build_timeout = 120
remove_swift_account = false
"""
"""Swift and Nova are named only so that their clients are made; nothing is asked of them."""


def environment() -> Path:
    """Return the Python of the environment, which is made when it is not there (half a minute)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trove-tests"
    home = cache / "-".join(package.replace("==", "-") for package in PACKAGES)
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        shutil.rmtree(home, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
        (home / "ready").touch()
    return python


def run(use: Clients, name: str, directory: Path, *, network: str) -> "subprocess.CompletedProcess[str]":
    """Run one class or test of the plugin; what it sends counts for its name."""
    text = CONFIG.format(dir=directory, password=keystones.ADMIN_PASSWORD, auth_url=use.keystone.url, network=network)
    (directory / "tempest.conf").write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | {
        "TEMPEST_CONFIG_DIR": str(directory),
        "TEMPEST_CONFIG": "tempest.conf",
    }
    with use.recorder.act("tempest", name.rpartition(".")[2]):
        return subprocess.run(
            [environment(), "-W", "ignore", RUN, name],
            env=environ,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
