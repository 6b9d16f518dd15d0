"""A real OpenStack: `OS_CLOUD` of the clouds.yaml that `TROVE_TEST_CLOUDS` names. Tests leave it as it was."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openstack
import pytest
from tests.conformance.cloud.conftest import Form
from tests.openstack.service import NETWORK, Deployment, deployment

from trove.cloud.contract import Leftovers
from trove.cloud.openstack import OpenStackCloud, OpenStackSettings
from trove.core.errors import TroveError

_OWN_AFFAIRS = "ignore::PendingDeprecationWarning"
"""openstacksdk warns of what it calls itself."""

CLOUDS = "TROVE_TEST_CLOUDS"
collect_ignore_glob = [] if CLOUDS in os.environ else ["test_*.py"]
"""`make test-openstack` runs them: a cloud is not part of what `make test` needs."""

NOTHING = Leftovers(servers=(), volumes=(), ports=())


def pytest_configure(config: pytest.Config) -> None:
    """Let openstacksdk call what it deprecates, also in what is cleaned up after an interruption."""
    config.addinivalue_line("filterwarnings", _OWN_AFFAIRS)


def connect() -> Any:
    """Return a connection of the administrator."""
    config = openstack.config.OpenStackConfig(config_files=[os.environ[CLOUDS]])
    return openstack.connection.Connection(config=config.get_one(os.environ.get("OS_CLOUD", "lab-admin")))


def settings_of(admin: Any, **changes: Any) -> OpenStackSettings:
    """Return settings with which the administrator is the service's user."""
    return OpenStackSettings(
        auth=admin.config.auth, region=admin.config.region_name, network=os.environ.get(NETWORK, "lab"), **changes
    )


@pytest.fixture(scope="session")
def admin() -> Any:
    """A connection of the administrator."""
    return connect()


@pytest.fixture(scope="session")
def lab(admin: Any) -> Any:
    """The administrator of a prepared cloud."""
    return prepared(admin)


def prepared(admin: Any) -> Any:
    """Make what an operator makes once: images with tags, flavors, a network that all may use."""
    for name in ("host", "other"):
        if not list(admin.image.images(name=name)):
            how = {"disk_format": "raw", "container_format": "bare", "visibility": "public", "tags": ["trove", name]}
            admin.create_image(name, data=bytes(2**20), wait=True, allow_duplicates=True, **how)
    for flavor_id, name, ram_mib in (("1", "db.tiny", 256), ("2", "db.small", 512)):
        if name not in {flavor.name for flavor in admin.compute.flavors()}:
            admin.compute.create_flavor(id=flavor_id, name=name, vcpus=1, ram=ram_mib, disk=1)
    name = os.environ.get(NETWORK, "lab")
    network = next(iter(admin.network.networks(name=name)), None)
    if network is None:
        wanted = {"provider_network_type": "flat", "provider_physical_network": "lab", "is_shared": True}
        network = admin.network.create_network(name=name, **wanted)
    if not list(admin.network.subnets(network_id=network.id)):
        pools = [{"start": "10.77.0.10", "end": "10.77.0.200"}]
        cidr = {"ip_version": 4, "cidr": "10.77.0.0/24", "gateway_ip": "10.77.0.1", "allocation_pools": pools}
        admin.network.create_subnet(name=name, network_id=network.id, **cidr)
    return admin


@pytest.fixture
def form(lab: Any) -> Iterator[Form]:
    """The cloud, as the service's own user."""
    cloud = OpenStackCloud(settings_of(lab))
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


@pytest.fixture(scope="session")
def shared_service(lab: Any) -> Iterator[Deployment]:
    """A deployment in which instances are made of an image without a guest agent."""
    with deployment(lab) as made:
        made.manage("datastore", "version-update", "mariadb", "10.11", "mariadb", "--image-tags=trove,host", "--default")
        yield made


@pytest.fixture
def service(shared_service: Deployment) -> Iterator[Deployment]:
    """The deployment, in which nothing is left afterwards."""
    try:
        yield shared_service
    finally:
        shared_service.discard()
    assert shared_service.leftovers() == []
