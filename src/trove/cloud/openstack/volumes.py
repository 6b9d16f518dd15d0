"""Cinder's volumes: one for each instance, found by its name and what it says of itself."""

from collections.abc import Callable, Sequence
from typing import Any

from trove.cloud.contract import StoragePool, VolumeInfo
from trove.cloud.openstack.errors import translated
from trove.cloud.openstack.naming import KEY, PREFIX, instance_of, name_of
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.waiting import wait_until
from trove.core.errors import CloudError, InvalidInput, NotFound, Unavailable

_FAILED = frozenset({"error", "error_deleting", "error_extending", "error_managing", "error_restoring"})
_SETTLED = frozenset({"available", "in-use", "reserved"})
_HELD = frozenset({"in-use", "attaching", "detaching", "reserved"})


class Volumes:
    """The data volumes of instances. `lives` tells whether a server with that id is there."""

    def __init__(self, connection: Any, settings: OpenStackSettings, lives: Callable[[str], bool]) -> None:
        self._storage = connection.block_storage
        self._settings = settings
        self._lives = lives

    def types(self) -> Sequence[str]:
        """Return the names of the volume types."""
        with translated("list volume types"):
            return tuple(sorted(str(each.name) for each in self._storage.types()))

    def ensure(self, instance_id: str, *, size_gib: int, volume_type: str | None) -> VolumeInfo:
        """Make the volume unless it is there, and wait until it can be attached."""
        if size_gib < 1:
            raise InvalidInput("volume.size: must be at least 1")
        found = self._find(instance_id)
        if found is not None and found.status == "error":
            # A half-made volume holds nothing; Cinder would never finish it.
            self.delete(instance_id)
            found = None
        if found is None:
            wanted: dict[str, Any] = {
                "name": name_of(instance_id),
                "description": f"Data of the database instance {instance_id}",
                "size": size_gib,
                "metadata": {KEY: instance_id},
            }
            if volume_type or self._settings.volume_type:
                wanted["volume_type"] = volume_type or self._settings.volume_type
            try:
                with translated("make the volume"):
                    found = self._storage.create_volume(**wanted)
            except NotFound as error:
                raise CloudError(error.message) from error
        return self._info(self._settled(found.id, "make the volume"))

    def find(self, instance_id: str) -> VolumeInfo | None:
        """Return the volume of an instance, or None."""
        found = self._find(instance_id)
        return None if found is None else self._info(found)

    def grow(self, instance_id: str, *, size_gib: int) -> VolumeInfo:
        """Make the volume at least as large, under a server that runs where Cinder and Nova can. Raises `CloudError`."""
        found = self._find(instance_id)
        if found is None:
            raise NotFound(f"Instance {instance_id} has no volume.")
        if found.size >= size_gib:
            return self._info(found)
        if found.status == "extending":
            found = self._settled(found.id, "extend the volume")
        if found.status == "error_extending":
            found = self._forgiven(found)
        if found.size < size_gib:
            with translated("extend the volume"):
                self._storage.extend_volume(found, size_gib)
        grown = wait_until(
            lambda: self._get(found.id),
            lambda seen: seen.status in _FAILED or (seen.size >= size_gib and seen.status in _SETTLED),
            what="extend the volume",
            timeout_s=self._settings.timeouts.volume_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        if grown.status in _FAILED:
            self._forgiven(grown)
            raise CloudError(f"The cloud could not extend the volume {found.id}: it is in state {grown.status}.")
        return self._info(grown)

    def delete(self, instance_id: str) -> None:
        """Delete the volume and wait until it is gone. Missing is fine; `Unavailable` while a server holds it."""
        found = self._find(instance_id)
        if found is None:
            return
        found = self._freed(found)
        if found.status in _HELD:
            raise Unavailable(f"The volume of instance {instance_id} is still attached.")
        if found.status != "deleting":
            with translated("delete the volume"):
                self._storage.delete_volume(found, force=found.status in _FAILED)
        left = wait_until(
            lambda: self._find(instance_id),
            lambda seen: seen is None or seen.status == "error_deleting",
            what="delete the volume",
            timeout_s=self._settings.timeouts.delete_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        if left is not None:
            raise CloudError(f"The cloud could not delete the volume {left.id}: it is in state {left.status}.")

    def free(self, instance_id: str) -> VolumeInfo | None:
        """Return the volume of an instance, or None, after it was taken from servers that are gone."""
        found = self._find(instance_id)
        return None if found is None else self._info(self._freed(found))

    def held(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a volume."""
        with translated("list volumes"):
            found = [instance_of(each.metadata) for each in self._storage.volumes(details=True)]
        return tuple(sorted({each for each in found if each}))

    def pools(self) -> Sequence[StoragePool]:
        """Return Cinder's pools by name. Needs an administrator's role."""
        with translated("list storage pools"):
            return tuple(sorted((_pool(each) for each in self._storage.backend_pools()), key=lambda pool: pool.name))

    def _forgiven(self, found: Any) -> Any:
        """Return a volume that could not be extended to what it was before, which Cinder leaves to administrators."""
        with translated("take the volume back that could not be extended"):
            self._storage.reset_volume_status(found, status="in-use" if found.attachments else "available")
        return self._get(found.id)

    def _freed(self, found: Any) -> Any:
        """Return a volume without what ties it to servers that are gone.

        Nova leaves that there when Cinder is away while a server is deleted, and nobody else takes it away.
        """
        if found.status not in _HELD:
            return found
        with translated("look who has the volume"):
            ties = list(self._storage.attachments(volume_id=found.id))
        for tie in ties:
            if tie.instance and not self._lives(str(tie.instance)):
                with translated("take the volume from a server that is gone"):
                    self._storage.delete_attachment(tie)
        return self._get(found.id)

    def _find(self, instance_id: str) -> Any | None:
        with translated("look for the volume"):
            found = [
                each
                for each in self._storage.volumes(details=True, name=name_of(instance_id))
                if instance_of(each.metadata) == instance_id
            ]
        return min(found, key=lambda each: str(each.created_at)) if found else None

    def _get(self, volume_id: str) -> Any:
        with translated("look at the volume"):
            return self._storage.get_volume(volume_id)

    def _settled(self, volume_id: str, what: str) -> Any:
        seen = wait_until(
            lambda: self._get(volume_id),
            lambda seen: seen.status in _SETTLED or seen.status in _FAILED,
            what=what,
            timeout_s=self._settings.timeouts.volume_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        if seen.status == "error":
            raise CloudError(f"The cloud could not {what}: {self._told(volume_id)}")
        return seen

    def _told(self, volume_id: str) -> str:
        """Return what Cinder left as a message for users about a volume. Source: "Messages" of its API."""
        with translated("read why it failed"):
            answer = self._storage.get("/messages", params={"resource_uuid": volume_id}, microversion="3.5")
            messages = answer.json().get("messages") or () if answer.status_code == 200 else ()
        told = [str(each.get("user_message", "")) for each in messages]
        return " ".join(told) or f"volume {volume_id} is in state error"

    @staticmethod
    def _info(found: Any) -> VolumeInfo:
        return VolumeInfo(
            id=str(found.id),
            instance_id=str(found.name).removeprefix(PREFIX),
            size_gib=int(found.size),
            type=found.volume_type or None,
            attached=bool(found.attachments) or found.status == "in-use",
        )


def _pool(found: Any) -> StoragePool:
    told = found.capabilities or {}
    return StoragePool(
        name=str(found.name),
        type=str(told.get("volume_backend_name") or told.get("storage_protocol") or ""),
        total_gib=_number(told.get("total_capacity_gb")),
        free_gib=_number(told.get("free_capacity_gb")),
        provisioned_gib=int(_number(told.get("provisioned_capacity_gb") or told.get("allocated_capacity_gb"))),
    )


def _number(told: object) -> float:
    try:
        return float(str(told))
    except ValueError:  # Cinder says "infinite" or "unknown" where it cannot tell
        return 0.0
