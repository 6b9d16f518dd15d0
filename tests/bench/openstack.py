"""On a real OpenStack: accepted → ACTIVE beside what the cloud alone takes for the same server, and the requests that we make.

The guest's own work is the engine's: a file system, the system tables and the first start, as on any machine of that speed.

Runs with `TROVE_TEST_CLOUDS` alone, as tests/openstack does; where servers have no guests, up to the server's being there.
"""

import base64
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.openstack import conftest as cloud
from tests.openstack.service import NETWORK, Deployment, deployment, until
from tests.openstack.test_story import GUEST_S, PATIENCE, SMALL, guest_flavors, register

from trove.core.ids import new_id

POLL_S = 0.2
ANSWERS_ON = 3306
GREETING = f"#cloud-config\nruncmd: [[systemd-run, python3, -m, http.server, '{ANSWERS_ON}']]\n"


@dataclass(kw_only=True)
class Moments:
    """Seconds since the request: the server is made, Nova says ACTIVE, the guest says a word, the instance is ACTIVE."""

    made: float = 0.0
    running: float = 0.0
    word: float = 0.0
    active: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    """When the guest was first seen at each step of its own work."""


def main() -> None:
    """Measure both, one after the other, and print them side by side."""
    if cloud.CLOUDS not in os.environ:
        print(f"openstack: {cloud.CLOUDS} is not set, nothing is measured")
        return
    admin = cloud.prepared(cloud.connect())
    guests = next(iter(admin.compute.hypervisors(details=True))).hypervisor_type != "fake"
    with deployment(admin, options=PATIENCE) as service:
        if guests:
            register(service, "mariadb", "10.11")
            tag, flavor = "mariadb", guest_flavors(admin)[SMALL]
        else:
            service.manage("datastore", "version-update", "mariadb", "10.11", "mariadb", "--image-tags=trove,host", "--default")
            tag, flavor = "host", "1"
        # The first server of an image has to wait until its host has that.
        _bare(service, flavor, guests=False, image_tag=tag)
        with service.asked() as creating:
            ours = _ours(service, flavor, guests=guests)
        with service.asked() as listing:
            for path in ("/instances", "/instances/detail"):
                assert service.request("GET", path).status == 200
        bare = _bare(service, flavor, guests=guests, image_tag=tag)
    print(f"server made: {ours.made:.1f} s after it was accepted; the cloud alone: {bare.made:.1f} s")
    print(f"Nova says ACTIVE: {ours.running:.1f} s; the cloud alone: {bare.running:.1f} s")
    if guests:
        print(f"first word of the guest: {ours.word:.1f} s; the cloud alone: {bare.word:.1f} s")
        print(f"instance ACTIVE: {ours.active:.1f} s, {ours.active - ours.word:.1f} s of them the guest's own work:")
        for step, moment in ours.steps.items():
            print(f"  {moment:6.1f} s {step}")
        print(f"our overhead until the guest's own work: {ours.word - bare.word:.1f} s")
    print(f"our overhead until the server is made: {ours.made - bare.made:.1f} s")
    changing = sum(creating.changes().values())
    print(f"requests of one creation and deletion: {sum(creating.kinds.values())}, of which {changing} change something")
    for kind, count in sorted(creating.kinds.items()):
        print(f"  {count:3} {kind}")
    print(f"requests of two lists: {sum(listing.kinds.values())}")


def _ours(service: Deployment, flavor: str, *, guests: bool) -> Moments:
    found = Moments()
    began = time.monotonic()
    one = service.create("bench", flavorRef=flavor)
    try:
        _await(lambda: service.server(one), GUEST_S)
        found.made = time.monotonic() - began
        _await(lambda: _nova_says(service, one), GUEST_S)
        found.running = time.monotonic() - began
        if guests:
            _await(lambda: service.operations(one)[0]["step"].startswith("prepare:"), GUEST_S)
            found.word = time.monotonic() - began

            def active() -> bool:
                step = service.operations(one)[0]["step"]
                found.steps.setdefault(step, time.monotonic() - began)
                return service.status_of(one) == "ACTIVE"

            _await(active, GUEST_S)
            found.active = time.monotonic() - began
    finally:
        service.discard()
    return found


def _bare(service: Deployment, flavor: str, *, guests: bool, image_tag: str) -> Moments:
    found, owner, name = Moments(), service.owner, f"bench-{new_id()}"
    with _discarded(owner, name):
        began = time.monotonic()
        (network,) = owner.network.networks(name=os.environ[NETWORK])
        group = owner.network.create_security_group(name=name)
        opened = {"port_range_min": ANSWERS_ON, "port_range_max": ANSWERS_ON, "remote_ip_prefix": "0.0.0.0/0"}
        owner.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp", **opened)
        port = owner.network.create_port(name=name, network_id=network.id, security_group_ids=[group.id])
        volume = owner.block_storage.create_volume(name=name, size=1)
        _await(lambda: owner.block_storage.get_volume(volume.id).status == "available", GUEST_S)
        image = next(iter(owner.image.images(tag=image_tag, sort="created_at:desc")))
        server = owner.compute.create_server(
            name=name,
            flavor_id=flavor,
            image_id=image.id,
            networks=[{"port": port.id}],
            block_device_mapping=[
                {"uuid": image.id, "source_type": "image", "destination_type": "local", "boot_index": 0},
                {"uuid": volume.id, "source_type": "volume", "destination_type": "volume", "boot_index": -1},
            ],
            config_drive=True,
            user_data=base64.b64encode(GREETING.encode()).decode(),
        )
        found.made = time.monotonic() - began
        _await(lambda: owner.compute.get_server(server.id).status == "ACTIVE", GUEST_S)
        found.running = time.monotonic() - began
        if guests:
            _await(lambda: _answers(port.fixed_ips[0]["ip_address"]), GUEST_S)
            found.word = time.monotonic() - began
    return found


@contextmanager
def _discarded(owner: Any, name: str) -> Iterator[None]:
    """Delete all that is called so after the block."""
    try:
        yield
    finally:
        for server in owner.compute.servers(name=name):
            owner.compute.delete_server(server)
            owner.compute.wait_for_delete(server, interval=1, wait=300)
        for volume in owner.block_storage.volumes(name=name):
            owner.block_storage.delete_volume(volume)
        for port in owner.network.ports(name=name):
            owner.network.delete_port(port)
        for group in owner.network.security_groups(name=name):
            owner.network.delete_security_group(group)
        until(lambda: not list(owner.block_storage.volumes(name=name)), "the volume is gone", 300)


def _nova_says(service: Deployment, instance_id: str) -> bool:
    server = service.server(instance_id)
    return server is not None and server.status == "ACTIVE"


def _answers(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, ANSWERS_ON), timeout=1):
        return True
    return False


def _await(condition: Any, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
