"""Runs a Valkey server on a host."""

from trove.datastores.contract import Host
from trove.datastores.families.redis.driver import RedisDriver
from trove.datastores.families.redis.kin import Kin
from trove.datastores.valkey.naming import NAMES
from trove.datastores.valkey.spec import SPEC

KIN = Kin(
    title=SPEC.title,
    file_name=SPEC.manager,
    port=SPEC.tcp_ports[0],
    program="valkey-server",
    package="valkey-server",
    version_field="valkey_version",
    names=NAMES,
    versions=SPEC.usable_versions,
)


def driver(host: Host) -> RedisDriver:
    """Return the driver for `host`."""
    return RedisDriver(host, KIN)
