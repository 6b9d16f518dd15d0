"""Runs a Redis server on a host."""

from trove.datastores.contract import Host
from trove.datastores.families.redis.driver import RedisDriver
from trove.datastores.families.redis.kin import Kin
from trove.datastores.redis.naming import NAMES
from trove.datastores.redis.spec import SPEC

KIN = Kin(
    title=SPEC.title,
    file_name=SPEC.manager,
    port=SPEC.tcp_ports[0],
    program="redis-server",
    package="redis-server",
    version_field="redis_version",
    names=NAMES,
    versions=SPEC.usable_versions,
)


def driver(host: Host) -> RedisDriver:
    """Return the driver for `host`."""
    return RedisDriver(host, KIN)
