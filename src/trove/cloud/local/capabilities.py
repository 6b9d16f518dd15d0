"""What this machine lets the local cloud do: found out by trying, once, never assumed."""

import sys
from dataclasses import dataclass
from pathlib import Path

import trove
from trove.cloud.local import cgroups, privileges, volumes
from trove.cloud.local.settings import LocalCloudSettings
from trove.core.errors import CloudError


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the local cloud offers on this machine.

    `own_users`: each instance has a user of its own. `volumes`: `loop` (size enforced) or `directory` (size watched).
    `sandbox`: `bwrap` or `process`. `memory_limit`: `v1`, `v2` or None. `growth_stops_server`: a volume grows only while its
    server is stopped. `access_rules`: always False, because on the loopback network every connection comes from 127.0.0.1.
    """

    own_users: bool
    volumes: str
    sandbox: str
    memory_limit: str | None
    growth_stops_server: bool = False
    access_rules: bool = False

    @property
    def volume_size_enforced(self) -> bool:
        """Tell whether a full volume stops its server."""
        return self.volumes == "loop"


def runtime_needs(settings: LocalCloudSettings) -> privileges.Needs:
    """Return what every agent must read: the interpreter, its libraries, the package, the command, and what is shared."""
    package = Path(trove.__file__).parent
    command = [Path(word) for word in settings.agent_command if word.startswith("/")]
    wanted = [Path(sys.prefix), Path(sys.base_prefix), package.parent, *command, *settings.runtime_paths]
    read = tuple(dict.fromkeys(path for path in wanted if path.exists()))
    return privileges.Needs(read=read, reach=settings.shared_paths)


def choose_volumes(settings: LocalCloudSettings, directory: Path) -> str:
    """Return `loop` or `directory`; raises `CloudError` when `loop` is demanded and does not work."""
    if settings.volumes == "directory":
        return "directory"
    if settings.as_root and volumes.loop_works(directory):
        return "loop"
    if settings.volumes == "loop":
        raise CloudError("volumes=loop: loop-mounted volumes do not work here; they need root, loop devices and mkfs.ext4")
    return "directory"


def choose_sandbox(settings: LocalCloudSettings, uid: int | None) -> tuple[str, ...] | None:
    """Return the namespaces of a server's bubblewrap sandbox, None to do without one.

    Raises `CloudError` when `bwrap` is demanded and does not work.
    """
    if settings.sandbox == "process":
        return None
    names = privileges.nested_namespaces(privileges.launch_prefix(uid, runtime_needs(settings)))
    if names is None and settings.sandbox == "bwrap":
        raise CloudError("sandbox=bwrap: bubblewrap does not work here; it needs user namespaces: apt-get install bubblewrap")
    return names


def choose_memory_groups(settings: LocalCloudSettings, name: str) -> cgroups.MemoryGroups | None:
    """Return the control groups to limit memory with, None when the machine has none for us."""
    return cgroups.probe(name) if settings.as_root else None
