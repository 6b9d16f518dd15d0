"""Images of guests in Glance: uploaded whole or not at all, and never twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstack.exceptions import NotFoundException, raise_from_response

from trove.cloud.openstack.errors import reaching, translated
from trove.core.errors import CloudError

DIGEST = "trove_sha256"
"""The property by which an image is known again: what its file holds."""
_WHOLE = "active"
_PATCH = "application/openstack-images-v2.1-json-patch"
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An image to be had. `formats` are Glance's names of the file's format and of its container."""

    name: str
    path: Path
    sha256: str
    formats: tuple[str, str]
    visibility: str = "private"
    tags: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    min_disk_gib: int = 0


class Shelf:
    """What the service's project has in Glance, spoken to in Glance's own words: those are what Nova reads."""

    def __init__(self, connection: Any) -> None:
        with reaching("image"):
            self._image = connection.image
            self._owner = connection.current_project_id
        self._made: list[str] = []

    def ensure(self, wanted: Upload) -> tuple[str, bool]:
        """Return the id of the image with this file, and whether it had to be uploaded; one that is there gets what it lacks.

        What an upload that was killed has left is deleted first.
        """
        whole = None
        with translated(f"look for the image {wanted.name}"):
            ids = [str(each.id) for each in self._image.images(name=wanted.name, owner=self._owner)]
            for found in map(self._get, ids):
                if found.get(DIGEST) != wanted.sha256:
                    continue
                if found["status"] == _WHOLE:
                    whole = found
                else:
                    self._delete(found["id"])
        if whole is not None:
            self._complete(whole, wanted)
            return str(whole["id"]), False
        return self._upload(wanted), True

    def withdraw(self) -> None:
        """Delete all that was uploaded through this object, the last first: what uses an image goes before it."""
        while self._made:
            with translated("delete an image that is not needed"):
                self._delete(self._made[-1])
            self._made.pop()

    def _complete(self, found: Mapping[str, Any], wanted: Upload) -> None:
        """Give an image the tags and properties that it lacks; what others have added stays."""
        values: dict[str, Any] = {"visibility": wanted.visibility, **wanted.properties}
        changes: list[dict[str, Any]] = [
            {"op": "replace" if name in found else "add", "path": f"/{name}", "value": value}
            for name, value in values.items()
            if found.get(name) != value
        ]
        with translated(f"change the image {wanted.name}"):
            if changes:
                self._ask("PATCH", f"/images/{found['id']}", json=changes, headers={"Content-Type": _PATCH})
            for tag in sorted(set(wanted.tags) - set(found["tags"])):
                self._image.add_tag(found["id"], tag)

    def _upload(self, wanted: Upload) -> str:
        disk_format, container_format = wanted.formats
        body = {
            "name": wanted.name,
            "disk_format": disk_format,
            "container_format": container_format,
            "visibility": wanted.visibility,
            "tags": list(wanted.tags),
            "min_disk": wanted.min_disk_gib,
            DIGEST: wanted.sha256,
            **wanted.properties,
        }
        with translated(f"upload the image {wanted.name}"), wanted.path.open("rb") as file:
            image_id = str(self._ask("POST", "/images", json=body).json()["id"])
            self._made.append(image_id)
            self._ask("PUT", f"/images/{image_id}/file", data=file, headers={"Content-Type": _BYTES})
            found = self._get(image_id)
        if found.get("status") != _WHOLE or found["size"] != wanted.path.stat().st_size:
            raise CloudError(f"The image {wanted.name} is {found.get('status', 'gone')} after its upload.")
        return image_id

    def _get(self, image_id: str) -> dict[str, Any]:
        """Return an image; nothing of one that is gone."""
        try:
            found: dict[str, Any] = self._ask("GET", f"/images/{image_id}").json()
        except NotFoundException:
            return {}
        return found

    def _delete(self, image_id: str) -> None:
        self._image.delete_image(image_id, ignore_missing=True)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self._image.request(path, method, **more)
        raise_from_response(answer)
        return answer
