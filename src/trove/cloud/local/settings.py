"""What an operator chooses about the local cloud."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from trove.cloud.flavors import DEFAULT_FLAVORS
from trove.core.errors import InvalidInput
from trove.core.flavors import Flavor


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPackages:
    """What a datastore manager needs of the machine: a server program, and how to install it.

    `programs` are names or paths, with `*` for any number in them. The first that is found is asked for its version with
    `--version`; that names the template.
    """

    programs: tuple[str, ...]
    install: str


DEFAULT_PACKAGES: Mapping[str, HostPackages] = {
    "mariadb": HostPackages(
        programs=("mariadbd", "mysqld"),
        install="apt-get install mariadb-server-core mariadb-client-core mariadb-backup zstd",
    ),
    "postgresql": HostPackages(
        programs=("/usr/lib/postgresql/*/bin/postgres",),
        install="apt-get install postgresql zstd",
    ),
    "redis": HostPackages(
        programs=("redis-server",),
        install="apt-get install redis-server redis-tools zstd",
    ),
}


WIDE_UIDS = 1_879_048_192, 2_147_352_575
"""Used by nothing on a Linux machine, as systemd lists it. Clouds on one machine hardly ever choose the same of so many."""
NARROW_UIDS = 61184, 65519
"""Those of systemd's DynamicUser."""


def uid_range(uid_map: str) -> tuple[int, int]:
    """Return the user ids for instances, by what `/proc/self/uid_map` says: a container may know the first 65,536 only."""
    lines = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    first, last = WIDE_UIDS
    return WIDE_UIDS if any(inside <= first and last < inside + count for inside, _, count in lines) else NARROW_UIDS


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCloudSettings:
    """Settings of the local cloud.

    `state_dir`: absolute; below it everything is kept. `address_pool`: an IPv4 network in 127.0.0.0/8.
    `agent_command`: starts the guest agent; `--config-dir DIR` is appended, or `--make-template DIR --manager M`.
    `sandbox`: `auto` (bubblewrap where it works), `bwrap` or `process`. `volumes`: `auto` (loop-mounted where it works),
    `loop` or `directory`. `uid_range`: first and last user id for instances when the cloud runs as root.
    `runtime_paths`: what else an agent must read; `shared_paths`: what else it must reach, such as the directory of the bus's
    socket, and the database server must not.
    `memory_overcommit`: how many times the machine's memory the flavors of all servers may add up to; 0 is no limit.
    `images_dir`: where images are that were built; None is the place where `trove-local image build` puts them.
    `restart_delays_s`: pauses before an agent that died is started again; the last one repeats.
    """

    state_dir: Path
    agent_command: Sequence[str]
    address_pool: str = "127.77.0.0/16"
    flavors: Sequence[Flavor] = DEFAULT_FLAVORS
    sandbox: str = "auto"
    volumes: str = "auto"
    uid_range: tuple[int, int] = field(default_factory=lambda: uid_range(Path("/proc/self/uid_map").read_text()))
    packages: Mapping[str, HostPackages] = field(default_factory=lambda: DEFAULT_PACKAGES)
    templates: bool = True
    runtime_paths: tuple[Path, ...] = ()
    shared_paths: tuple[Path, ...] = ()
    restart_delays_s: tuple[float, ...] = (1, 2, 4, 8, 16, 30)
    agent_settled_s: int = 10
    stop_timeout_s: float = 20.0
    memory_overcommit: float = 1.5
    images_dir: Path | None = None

    def check(self) -> None:
        """Raise `InvalidInput` naming the setting that cannot work."""
        if not self.state_dir.is_absolute() or any(ord(letter) < 32 for letter in str(self.state_dir)):
            raise InvalidInput("state_dir: must be an absolute path without control characters")
        if not self.agent_command:
            raise InvalidInput("agent_command: must not be empty")
        if self.sandbox not in {"auto", "bwrap", "process"}:
            raise InvalidInput("sandbox: must be auto, bwrap or process")
        if self.volumes not in {"auto", "loop", "directory"}:
            raise InvalidInput("volumes: must be auto, loop or directory")
        first, last = self.uid_range
        if not 1000 <= first < last <= 2**31:
            raise InvalidInput("uid_range: must be two rising numbers from 1000 on")
        if not self.restart_delays_s:
            raise InvalidInput("restart_delays_s: must not be empty")
        if self.memory_overcommit < 0:
            raise InvalidInput("memory_overcommit: must not be negative")
        self.network()

    def network(self) -> IPv4Network:
        """Return the address pool; raises `InvalidInput` unless it is a loopback network of at least 8 addresses."""
        try:
            network = IPv4Network(self.address_pool)
        except ValueError as error:
            raise InvalidInput(f"address_pool: {error}") from None
        if not network.subnet_of(IPv4Network("127.0.0.0/8")) or network.prefixlen > 29:
            raise InvalidInput("address_pool: must be a network in 127.0.0.0/8 of at least 8 addresses")
        return network

    @property
    def as_root(self) -> bool:
        """Tell whether the cloud runs as root, and so gives each instance a user of its own."""
        return os.geteuid() == 0
