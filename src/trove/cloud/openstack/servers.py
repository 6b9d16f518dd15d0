"""Nova's servers: one for each instance, found by its tag."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trove.cloud.contract import HostInfo, ServerInfo, ServerSpec
from trove.cloud.openstack.errors import translated
from trove.cloud.openstack.naming import KEY, TAG, instance_of, project_tag_of, tag_of
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.userdata import userdata
from trove.cloud.openstack.waiting import wait_until
from trove.core.errors import CloudError, NotFound, Unsupported
from trove.core.flavors import Flavor
from trove.core.status import ServerStatus

STATUS: Mapping[str, ServerStatus] = {
    "ACTIVE": ServerStatus.ACTIVE,
    "BUILD": ServerStatus.BUILD,
    "REBUILD": ServerStatus.BUILD,
    "SHUTOFF": ServerStatus.SHUTDOWN,
    "PAUSED": ServerStatus.SHUTDOWN,
    "SUSPENDED": ServerStatus.SHUTDOWN,
    "SHELVED": ServerStatus.SHUTDOWN,
    "SHELVED_OFFLOADED": ServerStatus.SHUTDOWN,
    "ERROR": ServerStatus.ERROR,
    "REBOOT": ServerStatus.REBOOT,
    "HARD_REBOOT": ServerStatus.REBOOT,
    "RESIZE": ServerStatus.RESIZE,
    "REVERT_RESIZE": ServerStatus.RESIZE,
    "MIGRATING": ServerStatus.RESIZE,
    "VERIFY_RESIZE": ServerStatus.VERIFY_RESIZE,
    "DELETED": ServerStatus.DELETED,
    "SOFT_DELETED": ServerStatus.DELETED,
}
_HYPERVISOR_VERSION = "2.87"
"""The last of Nova's API in which a hypervisor tells its memory."""


class Servers:
    """The servers of instances. `flavors` returns all flavors there are now."""

    def __init__(self, connection: Any, settings: OpenStackSettings, flavors: Callable[[], Sequence[Flavor]]) -> None:
        self._compute = connection.compute
        self._settings = settings
        self._flavors = flavors
        self._names: Mapping[str, str] = {}

    def find(self, instance_id: str) -> Any | None:
        """Return Nova's own record of the server of an instance, or None."""
        with translated("look for the server"):
            found = [each for each in self._compute.servers(details=True, tags=tag_of(instance_id)) if each.status != "DELETED"]
        return min(found, key=lambda each: str(each.created_at)) if found else None

    def need(self, instance_id: str) -> Any:
        """Do the same; raises `NotFound`."""
        found = self.find(instance_id)
        if found is None:
            raise NotFound(f"Instance {instance_id} has no server.")
        return found

    def lives(self, server_id: str) -> bool:
        """Tell whether Nova still has a server."""
        try:
            return bool(self._get(server_id).status != "DELETED")
        except NotFound:
            return False

    def create(self, spec: ServerSpec, *, image_id: str, ports: Sequence[str], volume_id: str | None) -> Any:
        """Boot a server; it has its volume from its first moment. Raises `CloudError`."""
        disks: list[dict[str, Any]] = [
            {
                "uuid": image_id,
                "source_type": "image",
                "destination_type": "local",
                "boot_index": 0,
                "delete_on_termination": True,
            }
        ]
        if volume_id is not None:
            disks.append(
                {
                    "uuid": volume_id,
                    "source_type": "volume",
                    "destination_type": "volume",
                    "boot_index": -1,
                    "delete_on_termination": False,
                }
            )
        wanted: dict[str, Any] = {
            "name": spec.name,
            "flavor_id": spec.flavor.id,
            "image_id": image_id,
            "networks": [{"port": port} for port in ports],
            "block_device_mapping": disks,
            "user_data": self._userdata(spec),
            "config_drive": self._settings.config_drive,
            "metadata": {KEY: spec.instance_id, "trove_project_id": spec.project_id},
            "tags": [TAG, tag_of(spec.instance_id), f"trove_{spec.manager}", project_tag_of(spec.project_id)],
        }
        if spec.availability_zone is not None:
            wanted["availability_zone"] = spec.availability_zone
        if self._settings.keypair is not None:
            wanted["key_name"] = self._settings.keypair
        if spec.locality is not None and spec.server_group is not None:
            wanted["scheduler_hints"] = {"group": self._ensure_group(spec.server_group, spec.locality)}
        with translated("boot the server"):
            made = self._compute.create_server(**wanted)
        return self._get(made.id)

    def start(self, server: Any) -> Any:
        """Have a server run, and wait until it does."""
        if STATUS.get(server.status) is ServerStatus.SHUTDOWN:
            with translated("start the server"):
                self._compute.start_server(server)
        elif server.status == "ERROR":
            with translated("start the server"):
                self._compute.reboot_server(server, "HARD")
        return self._settled(server.id, "start the server", {"ACTIVE"}, self._settings.timeouts.reboot_s)

    def stop(self, server: Any, *, timeout_s: float) -> Any:
        """Have the operating system of a server shut down, and wait until it is; Nova cuts the power when it takes too long."""
        if server.status not in {"SHUTOFF", "SHELVED", "SHELVED_OFFLOADED"} and server.task_state != "powering-off":
            with translated("stop the server"):
                self._compute.stop_server(server)
        return self._settled(server.id, "stop the server", {"SHUTOFF"}, timeout_s + self._settings.timeouts.reboot_s)

    def rebuild(self, server: Any, spec: ServerSpec, *, image_id: str) -> Any:
        """Make a server anew from an image, with its volume and ports, and wait until it runs.

        What Nova is at already, because it was asked before somebody died, is waited for.
        """
        if server.status != "REBUILD" or server.image.id != image_id:
            with translated("rebuild the server"):
                self._compute.rebuild_server(server, image_id, name=spec.name, user_data=self._userdata(spec))
        rebuilt = self._settled(server.id, "rebuild the server", {"ACTIVE", "SHUTOFF"}, self._settings.timeouts.server_s)
        return self.start(rebuilt)

    def resize(self, server: Any, flavor: Flavor) -> Any:
        """Give a server another flavor, and wait until it runs with it. Raises `CloudError` when there is no room for it."""
        if server.status != "VERIFY_RESIZE":
            if self.flavor_id(server) == flavor.id and server.status == "ACTIVE" and server.task_state is None:
                return server
            if server.status != "RESIZE":
                with translated("resize the server"):
                    self._compute.resize_server(server, flavor.id)
            server = self._moved(server.id, "resize the server")
            if server.status != "VERIFY_RESIZE":
                raise CloudError(f"The cloud could not resize the server: {self._last_error(server.id)}")
        return self._confirmed(server)

    def migrate(self, server: Any, host: str) -> Any:
        """Move a server to a host, and wait until it runs there. Raises `CloudError`; `Unsupported` where there is no other."""
        others = [each.name for each in self.hosts() if each.name != server.compute_host]
        if not others:
            raise Unsupported(f"The cloud has one host, {server.compute_host}; there is no other to migrate to.")
        if server.compute_host == host and server.status == "ACTIVE":
            return server
        if server.status != "VERIFY_RESIZE":
            with translated(f"move the server to {host}"):
                self._compute.migrate_server(server, host=host)
            server = self._moved(server.id, "move the server")
            if server.status != "VERIFY_RESIZE":
                raise CloudError(f"The cloud could not move the server to {host}: {self._last_error(server.id)}")
        return self._confirmed(server)

    def reboot(self, server: Any) -> Any:
        """Restart the operating system of a server that runs, and wait until Nova says that it runs again."""
        with translated("reboot the server"):
            self._compute.reboot_server(server, "SOFT")
        return self._settled(server.id, "reboot the server", {"ACTIVE"}, self._settings.timeouts.reboot_s)

    def detach(self, server: Any, volume_id: str) -> None:
        """Take a volume from a server; missing is fine. It is free when Cinder says so."""
        with translated("detach the volume"):
            self._compute.delete_volume_attachment(server, volume_id, ignore_missing=True)

    def attach(self, server: Any, volume_id: str) -> None:
        """Give a volume to a server."""
        with translated("attach the volume"):
            there = {str(each.volume_id) for each in self._compute.volume_attachments(server)}
            if volume_id not in there:
                self._compute.create_volume_attachment(server, volume_id=volume_id)

    def delete(self, instance_id: str) -> None:
        """Delete the servers of an instance and wait until they are gone, then server groups that nobody is in any more."""
        server = self.find(instance_id)
        if server is None:
            return
        with translated("delete the server"):
            groups = [each for each in self._compute.server_groups() if server.id in (each.member_ids or ())]
            self._compute.delete_server(server)
        wait_until(
            lambda: self.find(instance_id),
            lambda seen: seen is None,
            what="delete the server",
            timeout_s=self._settings.timeouts.delete_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        with translated("delete the server group"):
            for group in groups:
                if set(group.member_ids) <= {server.id}:
                    self._compute.delete_server_group(group)

    def held(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a server."""
        with translated("list servers"):
            found = [instance_of(each.metadata) for each in self._compute.servers(details=True, tags=TAG)]
        return tuple(sorted({each for each in found if each}))

    def hosts(self) -> Sequence[HostInfo]:
        """Return the hypervisors by the names of their hosts. Needs an administrator's role."""
        with translated("list hosts"):
            answer = self._compute.get("/os-hypervisors/detail", microversion=_HYPERVISOR_VERSION)
            answer.raise_for_status()
            servers = list(self._compute.servers(details=True, tags=TAG))
        ram = {flavor.id: flavor.ram_mib for flavor in self._flavors()}
        hosts = []
        for each in answer.json()["hypervisors"]:
            name = str(each["service"]["host"])
            own = [server for server in servers if server.compute_host == name]
            hosts.append(
                HostInfo(
                    name=name,
                    total_ram_mib=int(each["memory_mb"]),
                    used_ram_mib=sum(ram.get(self.flavor_id(server) or "", 0) for server in own),
                    instance_ids=tuple(sorted(filter(None, (instance_of(server.metadata) for server in own)))),
                )
            )
        return tuple(sorted(hosts, key=lambda host: host.name))

    def flavor_id(self, server: Any) -> str | None:
        """Return the id of a server's flavor. Nova tells only the name, and flavors' names are unique."""
        if server.flavor is None:
            return None
        if getattr(server.flavor, "original_name", None) is None:
            return str(server.flavor.id)
        name = str(server.flavor.original_name)
        if name not in self._names:
            self._names = {flavor.name: flavor.id for flavor in self._flavors()}
        return self._names.get(name)

    def info(self, instance_id: str, server: Any) -> ServerInfo:
        """Return what we know of a server."""
        status = STATUS.get(str(server.status))
        image = server.image.id if server.image is not None else None
        return ServerInfo(
            id=str(server.id),
            instance_id=instance_id,
            name=str(server.name),
            status=ServerStatus.ERROR if status is None else status,
            fault=self._fault(server) if status in {ServerStatus.ERROR, None} else None,
            flavor_id=self.flavor_id(server),
            host=server.compute_host or None,
            image_id=None if image is None else str(image),
        )

    def _fault(self, server: Any) -> str:
        told = server.fault or {}
        return str(told.get("message") or f"Nova says that the server is in state {server.status}, and not why.")

    def _get(self, server_id: str) -> Any:
        with translated("look at the server"):
            return self._compute.get_server(server_id)

    def _settled(self, server_id: str, what: str, wanted: set[str], timeout_s: float) -> Any:
        seen = wait_until(
            lambda: self._get(server_id),
            lambda seen: (
                (seen.status in wanted and seen.task_state is None) or (seen.status == "ERROR" and not seen.task_state)
            ),
            what=what,
            timeout_s=timeout_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        if seen.status not in wanted:
            raise CloudError(f"The cloud could not {what}: {self._fault(seen)}")
        return seen

    def _moved(self, server_id: str, what: str) -> Any:
        """Return a server that was to be resized or moved: to be confirmed, or as it was before."""
        return self._settled(server_id, what, {"VERIFY_RESIZE", "ACTIVE", "SHUTOFF"}, self._settings.timeouts.resize_s)

    def _confirmed(self, server: Any) -> Any:
        with translated("confirm the resize"):
            self._compute.confirm_server_resize(server)
        settled = self._settled(server.id, "confirm the resize", {"ACTIVE", "SHUTOFF"}, self._settings.timeouts.resize_s)
        return self.start(settled)

    def _last_error(self, server_id: str) -> str:
        """Return what Nova says of the last thing that failed on a server. Source: "Servers - run an action: actions"."""
        with translated("read why it failed"):
            for action in self._compute.server_actions(server_id):
                if action.message:
                    detail = self._compute.get_server_action(action.request_id, server_id)
                    told = [str(each.get("details") or "") for each in detail.events or () if isinstance(each, Mapping)]
                    return " ".join([*(each for each in told if each), str(action.message)])[:500]
        return "Nova does not say why."

    def _userdata(self, spec: ServerSpec) -> str:
        return userdata(
            spec.files, directory=self._settings.files_directory, extra=self._settings.extra_userdata.get(spec.manager)
        )

    def _ensure_group(self, group: str, locality: str) -> str:
        """Return the id of the server group of a set of instances, made unless it is there."""
        name = f"locality_{group}"
        with translated("make the server group"):
            for each in self._compute.server_groups():
                if each.name == name:
                    return str(each.id)
            return str(self._compute.create_server_group(name=name, policy=locality).id)
