"""doc/install, as it is written, on a small OpenStack: from nothing to an instance's server, and away again.

What the guide takes for given is made here first, in namespaces of its own: the programs in /opt/trove, a root account on
MariaDB and RabbitMQ, a stand-in for systemctl. /etc, /opt, /var/lib/trove and the units are gone with them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.openstack.lab import need_lab
from tests.support.clouds import REPOSITORY
from tests.support.guest_images import fake_image
from tests.support.guide import blocks, script

GUIDE = REPOSITORY / "doc" / "install"
ORDER = (
    "README.md",
    "controller.md",
    "database.md",
    "message-bus.md",
    "keystone.md",
    "networks.md",
    "guest-images.md",
    "first-database.md",
    "operate.md",
)
TIMEOUT_S = 3000

_PRIVATE = """
set -euo pipefail
mount --make-rprivate /
scratch=$(mktemp -d /run/guide-XXXXXX)
mount -t tmpfs tmpfs "$scratch"
cp -a /etc "$scratch/etc"; mount --rbind "$scratch/etc" /etc
for place in /opt /var/lib/trove /var/log /var/backups; do mkdir -p "$place"; mount -t tmpfs -o mode=755 tmpfs "$place"; done
mkdir -p /opt/trove/bin /opt/guide/bin /etc/systemd/system "$scratch/home"
for program in "$BIN"/trove-*; do ln -s "$program" /opt/trove/bin/; done
stand_in() {  # NAME COMMAND...: what the guide calls NAME
    local name=$1; shift
    printf '#!/bin/sh\\nexec %s "$@"\\n' "$*" > "/opt/guide/bin/$name"
    chmod 755 "/opt/guide/bin/$name"
}
for program in openstack python3; do stand_in "$program" "$BIN/$program"; done
stand_in systemctl "$BIN/python3 $REPOSITORY/tests/support/guide_systemctl.py"
for program in mariadb mariadb-dump; do
    stand_in "$program" "/usr/bin/$program --no-defaults --socket=$LAB_DIR/state/mysql.sock --user=root"
done
for program in rabbitmqctl rabbitmq-plugins; do
    stand_in "$program" "env HOME=$LAB_DIR/state/rabbit /usr/lib/rabbitmq/bin/$program"
done
export PATH=/opt/guide/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=$scratch/home
export RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_ENABLED_PLUGINS_FILE=$LAB_DIR/state/rabbit/plugins
cd "$REPOSITORY"
"""
_AFTERWARDS = """
test -z "$(openstack server list --all-projects --name orders -f value)"
test -z "$(openstack volume list --all-projects -f value)"
openstack network delete databases
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    need_lab()
    folder = tmp_path_factory.mktemp("images")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk", "64M"], check=True)
    image = fake_image(folder / "mariadb-10.11", "qcow2", disk=(folder / "disk").read_bytes())
    whole = _PRIVATE + script(blocks(GUIDE / name for name in ORDER)) + _AFTERWARDS
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {
        "OS_CLIENT_CONFIG_FILE": os.environ["TROVE_TEST_CLOUDS"],
        "OS_CLOUD": os.environ.get("OS_CLOUD", "lab-admin"),
        "PYTHONWARNINGS": "ignore",
        "GUEST_IMAGE": str(image),
        "BIN": str(Path(sys.executable).parent),
        "REPOSITORY": str(REPOSITORY),
        # What is the reader's in README.md.
        "TROVE_HOST": "127.0.0.1",
        "BIND_HOST": "127.0.0.1",
        "KEYSTONE_URL": "http://127.0.0.1:17500/v3",
        "DATABASE_HOST": "127.0.0.1",
        "RABBIT_HOSTS": "127.0.0.1:5672",
        "RABBIT_TLS": "false",
        "CA_FILE": "",
        "RABBIT_MANAGEMENT": "http://127.0.0.1:15672",
        "RABBIT_FOR_GUESTS": "10.77.0.1:5672",
    }
    # With its first process everything ends that it has started.
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", whole]
    return subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


def test_every_command_of_the_guide_succeeds_as_it_is_written(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert "== done" in done.stdout
    assert "active\nactive\nactive\nactive" in done.stdout


def test_all_pages_are_run(done: "subprocess.CompletedProcess[str]") -> None:
    assert {page.name for page in GUIDE.glob("*.md")} == set(ORDER)
    assert all(f"== {page}:" in done.stdout for page in ORDER)


def test_guests_get_users_of_their_own_on_the_bus(done: "subprocess.CompletedProcess[str]") -> None:
    assert "INSECURE BUS" not in done.stderr + done.stdout
