"""A real OpenStack: `TROVE_TEST_CLOUDS` is a clouds.yaml with `lab-admin` and `lab-service`; each test leaves it as it was."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml
from tests.conformance.cloud.conftest import Form

from trove.cloud.contract import Leftovers
from trove.cloud.openstack import OpenStackCloud, OpenStackSettings
from trove.core.errors import TroveError

_OWN_AFFAIRS = "ignore::PendingDeprecationWarning"
"""openstacksdk warns of what it calls itself."""

CLOUDS = "TROVE_TEST_CLOUDS"
NETWORK = "lab"
collect_ignore_glob = [] if CLOUDS in os.environ else ["test_*.py"]
"""`make test-openstack` runs them: a cloud is not part of what `make test` needs."""

NOTHING = Leftovers(servers=(), volumes=(), ports=())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let only openstacksdk call what it deprecates."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(_OWN_AFFAIRS))


def login(name: str) -> dict[str, Any]:
    """Return how to log in as one of the users of the file."""
    found: dict[str, Any] = yaml.safe_load(Path(os.environ[CLOUDS]).read_text())["clouds"][name]
    return found


def settings_of(name: str, **changes: Any) -> OpenStackSettings:
    """Return settings for a cloud of the file."""
    cloud = login(name)
    return OpenStackSettings(auth=cloud["auth"], region=cloud["region_name"], network=NETWORK, **changes)


@pytest.fixture(scope="session")
def admin() -> Any:
    """A connection of the administrator."""
    cloud = login("lab-admin")
    return openstack.connect(
        auth=cloud["auth"], region_name=cloud["region_name"], network_connect_retries=3, compute_connect_retries=3
    )


@pytest.fixture(scope="session")
def lab(admin: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The things that an operator makes once: images with tags, flavors, a network that all may use."""
    disk = tmp_path_factory.mktemp("image") / "tiny.raw"
    with disk.open("wb") as file:
        file.truncate(2**20)
    for name in ("host", "other"):
        if not list(admin.image.images(name=name)):
            how = {"disk_format": "raw", "container_format": "bare", "visibility": "public", "tags": ["trove", name]}
            admin.create_image(name, filename=str(disk), wait=True, allow_duplicates=True, **how)
    for flavor_id, name, ram_mib in (("1", "db.tiny", 256), ("2", "db.small", 512)):
        if name not in {flavor.name for flavor in admin.compute.flavors()}:
            admin.compute.create_flavor(id=flavor_id, name=name, vcpus=1, ram=ram_mib, disk=1)
    network = next(iter(admin.network.networks(name=NETWORK)), None)
    if network is None:
        wanted = {"provider_network_type": "flat", "provider_physical_network": "lab", "is_shared": True}
        network = admin.network.create_network(name=NETWORK, **wanted)
    if not list(admin.network.subnets(network_id=network.id)):
        pools = [{"start": "10.77.0.10", "end": "10.77.0.200"}]
        cidr = {"ip_version": 4, "cidr": "10.77.0.0/24", "gateway_ip": "10.77.0.1", "allocation_pools": pools}
        admin.network.create_subnet(name=NETWORK, network_id=network.id, **cidr)
    return admin


@pytest.fixture
def form(lab: Any) -> Iterator[Form]:
    """The cloud, as the service's own user."""
    cloud = OpenStackCloud(settings_of("lab-admin"))
    clear(cloud)
    try:
        yield Form(name="openstack", cloud=cloud)
    finally:
        clear(cloud)
    assert cloud.leftovers() == NOTHING


def clear(cloud: OpenStackCloud) -> None:
    """Delete everything that the service has in the cloud."""
    left = cloud.leftovers()
    for one in left.servers:
        cloud.delete_server(one)
    for one in left.volumes:
        with suppress(TroveError):
            cloud.delete_volume(one)
    for one in left.ports:
        cloud.delete_port(one)
