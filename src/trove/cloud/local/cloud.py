"""The local cloud: real database servers and guest agents on this one machine, behind the contract of every cloud."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from trove.cloud.contract import HostInfo, Leftovers, NicRequest, PortInfo, ServerInfo, ServerSpec, StoragePool, VolumeInfo
from trove.cloud.flavors import FlavorList
from trove.cloud.local import cgroups
from trove.cloud.local.addresses import Addresses, busy_port, port_info
from trove.cloud.local.capabilities import Capabilities, choose_memory_groups, choose_sandbox, choose_volumes, runtime_needs
from trove.cloud.local.capacity import Capacity
from trove.cloud.local.engines import Engines, check_built
from trove.cloud.local.growth import grows_mounted
from trove.cloud.local.images.catalogue import Image
from trove.cloud.local.locking import locked
from trove.cloud.local.packages import HOST_IMAGE
from trove.cloud.local.privileges import Needs, Ways
from trove.cloud.local.probes import remove_dead_probes
from trove.cloud.local.records import make_directory, remove_tree
from trove.cloud.local.servers import Placement, ServerHome
from trove.cloud.local.settings import LocalCloudSettings
from trove.cloud.local.templates import Templates, make_data_directory
from trove.cloud.local.translation import checked, for_each, translated
from trove.cloud.local.users import Users
from trove.cloud.local.volumes import VOLUME_TYPE, Volumes
from trove.core.errors import CloudError, InvalidInput, NotFound, TroveError, Unavailable, Unsupported
from trove.core.flavors import Flavor
from trove.core.instances import Access

LOG = logging.getLogger(__name__)

AGENT_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What runs for an instance; None is nothing."""

    agent_pid: int | None
    server_pid: int | None


class LocalCloud:
    """The cloud contract on this machine. Safe for threads and for several processes on one state directory.

    Every verb holds the instance's lock, and may be repeated after a crash at any point with the same outcome.
    """

    def __init__(self, settings: LocalCloudSettings) -> None:
        settings.check()
        self._settings = settings
        self._root = settings.state_dir
        self._flavors = FlavorList(settings.flavors)
        self._preparing = threading.RLock()
        self._ways = Ways()
        self._prepared = False
        self._addresses = Addresses(self._root / "ports", self._lock_file("addresses"), settings.network())
        self._capacity = Capacity(self._root / "servers", self._lock_file("capacity"), overcommit=settings.memory_overcommit)
        self._users = Users(self._root / "uids", self._lock_file("uids"), settings.uid_range)
        self._engines = Engines(settings, sandboxed=lambda: self._namespaces is not None, templates=lambda: self._templates)

    # -- the contract -------------------------------------------------------------------------------------------------------

    def flavors(self) -> Sequence[Flavor]:
        """Return all flavors on offer, ordered by memory."""
        return self._flavors.all()

    def flavor(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        return self._flavors.get(flavor_id)

    def volume_types(self) -> Sequence[str]:
        """Return the names of the volume types on offer."""
        return (VOLUME_TYPE,)

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> str:
        """Return the id of an image: `host` is this machine itself. Raises `NotFound`."""
        return self._engines.find_image(image_id, tags)

    def hosts(self) -> Sequence[HostInfo]:
        """Return this machine; its memory is what the flavors of all servers may add up to."""
        with translated():
            self._prepare()
            return (self._capacity.host(),)

    def storage(self) -> Sequence[StoragePool]:
        """Return the disk of this machine that holds the volumes."""
        with translated():
            self._prepare()
            return (self._volumes.pool(),)

    def ensure_volume(self, instance_id: str, *, size_gib: int, volume_type: str | None) -> VolumeInfo:
        """Create the instance's data volume unless it is there. An existing one is returned as it is, whatever its size."""
        if size_gib < 1:
            raise InvalidInput("volume.size: must be at least 1")
        if volume_type not in {None, VOLUME_TYPE}:
            raise CloudError(f"Volume type {volume_type!r} cannot be found; the local cloud has: {VOLUME_TYPE}")
        with self._verb(instance_id):
            volume = self._volumes.ensure(instance_id, size_gib=size_gib, volume_type=VOLUME_TYPE)
            return replace(volume, attached=self._find_home(instance_id) is not None)

    def check_nic(self, nic: NicRequest, project_id: str) -> None:
        """Raise `InvalidInput` for a port, and for another network or subnet than the one there is, which is everybody's."""
        self._addresses.check_nic(nic)

    def update_access(self, instance_id: str, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Keep for whom the port is open; as with `ensure_port` nothing enforces it. May run twice. Raises `NotFound`."""
        with self._verb(instance_id):
            return port_info(instance_id, self._addresses.update_access(instance_id, access))

    def ensure_port(self, instance_id: str, nic: NicRequest, access: Access | None, tcp_ports: Sequence[int]) -> PortInfo:
        """Reserve the instance's own loopback address, on which all of `tcp_ports` can be bound.

        `access` is kept but not enforced: on the loopback network every connection comes from 127.0.0.1. Raises what
        `check_nic` does.
        """
        self._addresses.check_nic(nic)
        with self._verb(instance_id):
            address = self._addresses.ensure(instance_id, nic.ip_address, access, tcp_ports)
            return port_info(instance_id, address)

    def ensure_server(self, spec: ServerSpec) -> ServerInfo:
        """Start the guest agent with its volume and port unless it is there; does not wait for it.

        Files that differ from those the server was made with replace them, and the agent is started again to read them.
        """
        with self._verb(spec.instance_id):
            home = self._find_home(spec.instance_id)
            new = home is None
            if home is None:
                home = self._create(spec)
            elif home.write_config_files(spec, None):
                home.supervisor.restart_agent()
            if not home.stop_marker.exists():
                self._launch(spec.instance_id, home, new=new)
            return self._info(spec.instance_id, home)

    def find_server(self, instance_id: str) -> ServerInfo | None:
        """Return the server of an instance, or None. Takes no lock: it may look at a server that is just changing."""
        with translated():
            home = self._find_home(checked(instance_id))
            return None if home is None else self._info(instance_id, home)

    def find_volume(self, instance_id: str) -> VolumeInfo | None:
        """Return the data volume of an instance, or None, also for the ruin of one. Takes no lock."""
        with translated():
            self._prepare()
            volume = self._volumes.find(checked(instance_id))
            return None if volume is None else replace(volume, attached=self._find_home(instance_id) is not None)

    def start_server(self, instance_id: str) -> ServerInfo:
        """Start a stopped server, or restart one whose agent is gone. Raises `NotFound`; `CloudError` when a port is taken."""
        with self._verb(instance_id):
            home = self._need_home(instance_id)
            home.fence.unlink(missing_ok=True)
            home.stop_marker.unlink(missing_ok=True)
            self._launch(instance_id, home)
            return self._info(instance_id, home)

    def stop_server(self, instance_id: str, *, timeout_s: float) -> None:
        """Stop a server cleanly: the agent, then the database server, which is killed after `timeout_s`; data stays.

        Only `start_server` and its like start it again, not `start_all`. Raises `NotFound`. May run twice.
        """
        self._stop_server(instance_id, timeout_s=timeout_s, fenced=True)

    def _stop_server(self, instance_id: str, *, timeout_s: float, fenced: bool) -> None:
        with self._verb(instance_id):
            home = self._need_home(instance_id)
            if fenced:
                home.fence.touch(mode=0o644)
            self._stop(home, timeout_s)
            try:
                self._volumes.detach(instance_id)
            except Unavailable as error:
                LOG.warning("left mounted: %s", error)

    def reboot_server(self, instance_id: str, *, timeout_s: float) -> ServerInfo:
        """Stop all processes of the server, the database server cleanly, and start it. May run twice. Raises `NotFound`."""
        self.stop_server(instance_id, timeout_s=timeout_s)
        return self.start_server(instance_id)

    def rebuild_server(self, spec: ServerSpec) -> ServerInfo:
        """Make the server's directory and its agent anew; its volume and port are kept. May run twice. Raises `CloudError`."""
        instance_id = spec.instance_id
        with self._verb(instance_id):
            self._engines.find(spec.manager, spec.image_id)
            if self._volumes.find(instance_id) is None:
                raise CloudError(f"Instance {instance_id} has no volume that could be kept.")
            home = self._home(instance_id)
            record = home.record()
            if home.path.exists():
                self._stop(home, self._settings.stop_timeout_s)
            self._volumes.detach(instance_id)
            home = self._create(spec, instead_of_mib=0 if record is None else int(record["ram_mib"]))
            self._launch(instance_id, home, new=True)
            return self._info(instance_id, home)

    def migrate_server(self, instance_id: str, host: str) -> ServerInfo:
        """Refuse: this machine is the only one. Raises `Unsupported`."""
        raise Unsupported(f"The local cloud is one machine, {socket.gethostname()}; there is no other to migrate to.")

    def resize_server(self, instance_id: str, flavor: Flavor) -> ServerInfo:
        """Give the server the memory of `flavor`, also while it runs. May run twice.

        Raises `NotFound`; `CloudError` when the machine has no room for it, or the server cannot do with so little.
        """
        with self._verb(instance_id):
            home = self._need_home(instance_id)
            record = home.record()
            assert record is not None
            with self._capacity.room_for(flavor, instead_of_mib=int(record["ram_mib"])):
                if self._memory_groups is not None:
                    self._memory_groups.ensure(instance_id, ram_mib=flavor.ram_mib)
                home.record_flavor(flavor)
            return self._info(instance_id, home)

    def grow_volume(self, instance_id: str, *, size_gib: int) -> VolumeInfo:
        """Make the volume at least `size_gib` large. May run twice.

        A server that runs is stopped for it and started again where this machine cannot grow mounted file systems. Raises
        `NotFound`; `CloudError` when the disk has no room for it.
        """
        with self._verb(instance_id):
            volume = self._volumes.find(instance_id)
            if volume is None:
                raise NotFound(f"Instance {instance_id} has no volume.")
            home = self._find_home(instance_id)
            if size_gib > volume.size_gib:
                self._volumes.check_growth(instance_id, size_gib=size_gib)
                unmounted = self._volumes.enforced(instance_id) and not self._grows_mounted
                with self._paused(instance_id, home) if unmounted else nullcontext():
                    if home is not None:
                        home.tell_volume_size(size_gib)
                    self._volumes.grow(instance_id, size_gib=size_gib)
            return replace(volume, size_gib=max(volume.size_gib, size_gib), attached=home is not None)

    def delete_server(self, instance_id: str) -> None:
        """Delete the server with all its processes and files; the volume stays. Missing is fine."""
        with self._verb(instance_id):
            home = self._home(instance_id)
            if home.path.exists():
                self._stop(home, self._settings.stop_timeout_s)
            self._volumes.detach(instance_id, lazy=True)
            if self._memory_groups is not None:
                self._memory_groups.remove(instance_id)
            home.remove()
            self._release_user(instance_id)

    def delete_volume(self, instance_id: str) -> None:
        """Delete the volume with its data. Missing is fine; `Unavailable` while the server is there."""
        with self._verb(instance_id):
            if self._find_home(instance_id) is not None and instance_id in self._volumes.held():
                raise Unavailable(f"The volume of instance {instance_id} is still attached.")
            self._volumes.delete(instance_id)
            self._release_user(instance_id)

    def delete_port(self, instance_id: str) -> None:
        """Release the address. Missing is fine."""
        with self._verb(instance_id):
            self._addresses.delete(instance_id)

    def leftovers(self) -> Leftovers:
        """Return what is held for instances, whole or half-made."""
        with translated():
            self._prepare()
            volumes = self._volumes.held()
            servers = {path.name for path in (self._root / "servers").iterdir()}
            servers |= set(self._users.held()) - set(volumes)
            return Leftovers(servers=tuple(sorted(servers)), volumes=volumes, ports=self._addresses.held())

    # -- for trove-local ----------------------------------------------------------------------------------------------------

    def process_info(self, instance_id: str) -> Processes:
        """Return the pids of an instance's agent and database server."""
        with translated():
            home = self._find_home(checked(instance_id))
            if home is None:
                return Processes(agent_pid=None, server_pid=None)
            return Processes(agent_pid=home.supervisor.agent_pid(), server_pid=home.supervisor.server_pid())

    def start_all(self) -> Mapping[str, TroveError]:
        """Start every server but those that were stopped for themselves; return the errors of those that could not be, by id.

        Such a one may be a source that was given up: another has taken its place.
        """

        def start(instance_id: str) -> None:
            home = self._find_home(instance_id)
            if home is None or not home.fence.exists():
                self.start_server(instance_id)

        return self._for_all(start)

    def stop_all(self, *, timeout_s: float = 60.0) -> Mapping[str, TroveError]:
        """Stop every server cleanly, several at once; return the errors of those that could not be, by instance id."""
        return self._for_all(lambda instance_id: self._stop_server(instance_id, timeout_s=timeout_s, fenced=False))

    def destroy_all(self) -> Mapping[str, TroveError]:
        """Delete every server, volume, port and template; return the errors by instance id. Without errors nothing is left."""

        def destroy(instance_id: str) -> None:
            self.delete_server(instance_id)
            self.delete_volume(instance_id)
            self.delete_port(instance_id)

        held = self.leftovers()
        errors = self._for_all(destroy, sorted({*held.servers, *held.volumes, *held.ports}))
        if not errors:
            with translated():
                self._templates.delete_all()
                remove_dead_probes(self._root / "locks")
                for name in ("servers", "volumes", "ports", "uids", "templates", "locks"):
                    remove_tree(self._root / name)
                self._prepared = False
        return errors

    def warm(self, manager: str, image_id: str | None = None) -> Path | None:
        """Make the template of an image for a manager now, and return it; None when templates are off. Raises `CloudError`."""
        with translated():
            self._prepare()
            return self._engines.warm(self._engines.find(manager, image_id))

    def usable_images(self) -> tuple[Image, ...]:
        """Return the images that servers can be made of here: those that are built, but none without bubblewrap."""
        with translated():
            self._prepare()
            return self._engines.usable_images()

    def cool(self) -> None:
        """End the making of templates that somebody who was killed has left behind. May run twice. Raises `CloudError`."""
        with translated():
            self._prepare()
            self._templates.abandon()

    def capabilities(self) -> Capabilities:
        """Return what this machine lets the cloud do."""
        with translated():
            self._prepare()
            return Capabilities(
                own_users=self._settings.as_root,
                volumes=self._volume_kind,
                sandbox="process" if self._namespaces is None else "bwrap",
                memory_limit=None if self._memory_groups is None else self._memory_groups.version,
                growth_stops_server=self._volume_kind == "loop" and not self._grows_mounted,
            )

    # -- steps --------------------------------------------------------------------------------------------------------------

    def _create(self, spec: ServerSpec, *, instead_of_mib: int = 0) -> ServerHome:
        instance_id = spec.instance_id
        address = self._addresses.find(instance_id)
        if address is None:
            raise CloudError(f"Instance {instance_id} has no port; it must be ensured before the server.")
        engine = self._engines.find(spec.manager, spec.image_id)
        template = self._engines.template(engine)
        if self._settings.as_root:
            self._users.ensure(instance_id)
        home = self._home(instance_id)
        volume = self._volumes.find(instance_id)
        unlimited = volume is None or self._volumes.enforced(instance_id)
        placement = Placement(
            address=address,
            data_dir=home.data_dir,
            template_dir=template,
            sandbox="process" if self._namespaces is None else "bwrap",
            namespaces=self._namespaces or (),
            hide=(self._root, *self._settings.shared_paths),
            volume_gib=None if volume is None or unlimited else volume.size_gib,
            image_id=engine.image_id,
            root_dir=engine.root,
        )
        with self._capacity.room_for(spec.flavor, instead_of_mib=instead_of_mib):
            home.create(spec, placement)
            self._engines.note_use(engine)
        return home

    def _launch(self, instance_id: str, home: ServerHome, *, new: bool = False) -> None:
        """Start the supervisor with everything below it unless it runs, and give it its volume.

        The agent is loaded while the volume is mounted and filled: it waits for its data directory. A `new` server can have no
        processes yet. One that runs without its volume was left by an interrupted launch, and is started anew.
        """
        with_volume = instance_id in self._volumes.held()
        if home.supervisor.alive():
            if home.data_dir.is_dir() and (not with_volume or self._volumes.attached(instance_id)):
                return
            home.supervisor.kill_agent(timeout_s=AGENT_STOP_TIMEOUT_S)
        if not new:
            home.supervisor.stop_agent(timeout_s=AGENT_STOP_TIMEOUT_S)
            self._check_ports_free(instance_id, home)
        if not with_volume:
            self._make_data_directory(home)
        with self._volumes.attaching(instance_id) if with_volume else nullcontext():
            try:
                with self._starting(instance_id, home, with_volume=with_volume):
                    if with_volume:
                        self._volumes.attach(instance_id)
                        self._make_data_directory(home)
            except (TroveError, OSError):
                home.supervisor.kill_agent(timeout_s=AGENT_STOP_TIMEOUT_S)
                raise

    def _starting(self, instance_id: str, home: ServerHome, *, with_volume: bool) -> AbstractContextManager[None]:
        """Prepare the start of a supervisor; the result is entered when it starts, and left when it has started."""
        record = home.record()
        assert record is not None
        if record.get("root_dir"):
            check_built(record["image_id"], Path(record["root_dir"]))
        home.make_run_directory()
        group = None
        if self._memory_groups is not None:
            group = self._memory_groups.ensure(instance_id, ram_mib=int(record["ram_mib"]))
        runtime = runtime_needs(self._settings)
        more = tuple(Path(record[name]) for name in ("template_dir", "root_dir") if record.get(name))
        shared = Needs(read=(*runtime.read, *more), reach=runtime.reach)
        own = Needs(
            read=(home.path, home.config_files),
            reach=(self._volumes.home(instance_id),) if with_volume else (),  # in it, the data directory appears later
            write=(home.state, home.log, home.config, home.run, *(() if with_volume else (home.data_dir,))),
        )
        home.supervisor.forget_failure()
        return home.supervisor.starting(
            self._ways.prefix(home.uid, shared, own),
            (*self._settings.agent_command, "--config-dir", str(home.config_files)),
            group=group,
            settled_s=self._settings.agent_settled_s,
            delays_s=self._settings.restart_delays_s,
        )

    def _make_data_directory(self, home: ServerHome) -> None:
        record = home.record()
        assert record is not None
        template = None if record["template_dir"] is None else Path(record["template_dir"])
        alone = self._volumes.enforced(home.path.name)
        make_data_directory(home.data_dir, template=template, owner=home.uid, sync=alone)

    def _check_ports_free(self, instance_id: str, home: ServerHome) -> None:
        """Raise `CloudError` when another program took a port while the server was stopped."""
        address = self._addresses.find(instance_id)
        if address is None or home.processes.members():
            return
        port = busy_port(address, self._addresses.tcp_ports(instance_id))
        if port is not None:
            raise CloudError(
                f"Port {port} on {address} is taken by another program; `ss -ltnp sport = :{port}` shows which one it is."
            )

    def _stop(self, home: ServerHome, timeout_s: float) -> None:
        """End all processes: the agent first, which would start the database server again, then that one, cleanly."""
        if home.path.is_dir():
            home.stop_marker.touch(mode=0o644)
        home.supervisor.stop_agent(timeout_s=AGENT_STOP_TIMEOUT_S)
        home.supervisor.stop_server(timeout_s=timeout_s)
        home.processes.kill()

    @contextmanager
    def _paused(self, instance_id: str, home: ServerHome | None) -> Iterator[None]:
        """Have the server stopped and its volume unmounted inside; one that ran is started again, whatever happens inside."""
        ran = home is not None and not home.stop_marker.exists()
        if home is not None:
            self._stop(home, self._settings.stop_timeout_s)
        try:
            self._volumes.detach(instance_id)
            yield
        finally:
            if home is not None and ran:
                home.stop_marker.unlink(missing_ok=True)
                self._launch(instance_id, home)

    def _release_user(self, instance_id: str) -> None:
        if not (self._root / "servers" / instance_id).exists() and instance_id not in self._volumes.held():
            self._users.release(instance_id)

    def _info(self, instance_id: str, home: ServerHome) -> ServerInfo:
        status, fault = home.status(self._settings.agent_settled_s)
        record = home.record()
        return ServerInfo(
            id=f"server-{instance_id}",
            instance_id=instance_id,
            name="" if record is None else str(record["name"]),
            status=status,
            fault=fault,
            flavor_id=None if record is None else str(record["flavor_id"]),
            host=socket.gethostname(),
            image_id=None if record is None else str(record.get("image_id", HOST_IMAGE)),
        )

    def _home(self, instance_id: str) -> ServerHome:
        path = self._root / "servers" / instance_id
        with_volume = instance_id in self._volumes.held()
        data_dir = self._root / "volumes" / instance_id / "mount" / "data" if with_volume else path / "data"
        return ServerHome(path, self._users.find(instance_id), data_dir)

    def _find_home(self, instance_id: str) -> ServerHome | None:
        self._prepare()
        home = self._home(instance_id)
        return None if home.record() is None else home

    def _need_home(self, instance_id: str) -> ServerHome:
        home = self._find_home(instance_id)
        if home is None:
            raise NotFound(f"Instance {instance_id} has no server.")
        return home

    def _for_all(self, verb: Callable[[str], object], ids: Sequence[str] | None = None) -> Mapping[str, TroveError]:
        if ids is None:
            ids = [one for one in self.leftovers().servers if self.find_server(one) is not None]
        return for_each(ids, verb)

    @contextmanager
    def _verb(self, instance_id: str) -> Iterator[None]:
        """Hold the lock of an instance; its file goes when nothing is held for the instance any more."""
        with translated():
            self._prepare()
            path = self._lock_file(checked(instance_id))
            with locked(path):
                try:
                    yield
                finally:
                    if not self._holds_anything(instance_id):
                        path.unlink(missing_ok=True)

    def _holds_anything(self, instance_id: str) -> bool:
        places = (self._root / "servers" / instance_id, self._root / "volumes" / instance_id, self._root / "uids" / instance_id)
        return any(place.exists() for place in places) or self._addresses.find(instance_id) is not None

    def _lock_file(self, name: str) -> Path:
        return self._root / "locks" / f"{name}.lock"

    def _prepare(self) -> None:
        """Make the directories once; a state directory that cannot be written is told by name."""
        with self._preparing:
            if self._prepared and self._lock_file("").parent.is_dir():
                return
            try:
                self._root.mkdir(parents=True, exist_ok=True, mode=0o711)
                for name, mode in (("servers", 0o711), ("volumes", 0o711), ("templates", 0o755), ("ports", 0o700)):
                    make_directory(self._root / name, mode=mode)
                for name in ("uids", "locks"):
                    make_directory(self._root / name, mode=0o700)
            except OSError as error:
                raise CloudError(f"The state directory {self._root} cannot be used: {error.strerror}") from error
            self._prepared = True

    # -- what depends on the machine ----------------------------------------------------------------------------------------

    @cached_property
    def _volume_kind(self) -> str:
        return choose_volumes(self._settings, self._root / "locks")

    @cached_property
    def _volumes(self) -> Volumes:
        return Volumes(self._root / "volumes", self._lock_file("volumes"), loop=lambda: self._volume_kind == "loop")

    @cached_property
    def _grows_mounted(self) -> bool:
        return grows_mounted(self._root / "locks")

    @cached_property
    def _namespaces(self) -> tuple[str, ...] | None:
        uid = self._users.ensure_template_maker() if self._settings.as_root else None
        return choose_sandbox(self._settings, uid)

    @cached_property
    def _memory_groups(self) -> cgroups.MemoryGroups | None:
        return choose_memory_groups(self._settings, f"probe-{os.getpid()}-{id(self):x}")

    @cached_property
    def _templates(self) -> Templates:
        return Templates(
            self._root / "templates",
            self._root / "locks",
            command=tuple(self._settings.agent_command),
            needs=runtime_needs(self._settings),
            uid=self._users.ensure_template_maker() if self._settings.as_root else None,
        )
