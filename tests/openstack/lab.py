"""Ends services of the small OpenStack in whose namespaces the tests run, and has its own program start them again."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAM, HOME = "LAB", "LAB_DIR"
"""Its program, and where that keeps its files. Unset where the cloud is another one."""

PROCESSES = {
    "keystone": ("keystone",),
    "neutron": ("neutron", "neutron-rpc", "neutron-periodic"),
    "cinder": ("cinder", "cinder-scheduler", "cinder-volume"),
    "nova": ("nova", "nova-conductor", "nova-scheduler"),
    "nova_compute": ("nova-compute",),
}
REBOOT_S = 600.0
_START = """
HERE=$(dirname "$LAB"); . "$HERE/lib/common.sh"; . "$HERE/lib/config.sh"; . "$HERE/lib/services.sh"
inside() {  # We are inside already.
    env -i HOME=/root LANG=C.UTF-8 PATH="$LAB_DIR/bin:$VENV/bin:/usr/sbin:/sbin:/usr/bin:/bin" PYTHONWARNINGS=ignore "$@"
}
start_"$1"
[ -z "${PORT[$1]:-}" ] || answers "http://127.0.0.1:${PORT[$1]}/" 300
"""


def need_lab() -> None:
    """Skip the test on a cloud whose processes are not ours to end."""
    if PROGRAM not in os.environ:
        pytest.skip(f"{PROGRAM} is not set: Keystone, Nova, Neutron and Cinder of this cloud are not to be stopped by a test")


@contextmanager
def stopped(service: str) -> Iterator[None]:
    """Kill all processes of a service of the lab with -9; start them again after the block."""
    for name in PROCESSES[service]:
        _kill(int(Path(os.environ[HOME], "pid", name).read_text()))
    try:
        yield
    finally:
        subprocess.run(["bash", "-euc", _START, "-", service], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def new_tap(port_id: str) -> Iterator[None]:
    """Wait after the block until a guest that it reboots has another tap device, and connect that to the network.

    Other clouds do this by themselves. The lab's Open vSwitch, whose datapath is a process, goes on listening to the device
    that libvirt has removed.
    """
    if PROGRAM not in os.environ:
        yield
        return
    name = f"tap{port_id[:11]}"
    before = _index_of(name)
    yield
    deadline = time.monotonic() + REBOOT_S
    while _index_of(name) in {None, before}:
        assert time.monotonic() < deadline, f"{name} was not made anew"
        time.sleep(0.2)
    listed = json.loads(_vsctl("--format=json", "--columns=external_ids", "list", "interface", name))
    ids = [f"external_ids:{key}={json.dumps(value)}" for key, value in listed["data"][0][0][1]]
    _vsctl("del-port", "br-int", name)
    _vsctl("add-port", "br-int", name, "--", "set", "interface", name, *ids)


def _index_of(device: str) -> int | None:
    try:
        return int(Path(f"/sys/class/net/{device}/ifindex").read_text())
    except OSError:
        return None


def _vsctl(*words: str) -> str:
    argv = ["ovs-vsctl", "--timeout=30", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    while _lives(pid):
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
