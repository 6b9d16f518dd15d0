"""The data volume of an instance on a machine of its own: found, made ready once, mounted at each start, grown.

Its file system has the id of the instance for its UUID, by which it is known again, wherever it is attached. What bears
anything else is somebody's data: it is never written to. Each verb may run twice, also after a crash in the middle.
"""

import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.ids import is_id
from trove.guestagent import devices
from trove.guestagent.devices import Places, Signature
from trove.guestagent.user import make_way

LOG = logging.getLogger(__name__)

FILE_SYSTEMS = ("ext4", "xfs")
MARKER = "volume"
"""File in the agent's own directory: this machine has made the file system, and shall never make another one."""

_SAFE = "nosuid,nodev"
_WAIT_S = 120.0
_SIZE_WAIT_S = 60.0
_POLL_S = 0.5
_LABEL_CHARS = 12
_MENDED = (0, 1, 2)
"""What e2fsck ends with when the file system is good, perhaps after it mended something."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """Which device, and what becomes of it. `device` counts only where no `volume_id` is known, or disks tell no serials.

    With `may_format` a blank one is given a file system; else it must have the instance's already. `agent_dir` is where the
    agent remembers that it did so.
    """

    mount_point: Path
    agent_dir: Path
    volume_id: str | None = None
    device: Path | None = None
    fstype: str = "ext4"
    format_options: tuple[str, ...] = ("-m", "5")
    mount_options: str = "defaults,noatime"
    may_format: bool = False
    wait_s: float = _WAIT_S
    places: Places = field(default_factory=Places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """What is mounted somewhere, as the kernel tells it."""

    device: str
    type: str
    source: Path


class DataVolume:
    """The volume of one instance."""

    def __init__(self, instance_id: str, settings: VolumeSettings) -> None:
        if not is_id(instance_id):
            raise GuestError("The id of an instance has the form of a UUID.")
        self._uuid = instance_id
        self._settings = settings

    def ensure(self) -> None:
        """Have the volume mounted, made ready before if it is new, and as large as its device. Raises `GuestError`."""
        settings = self._settings
        if mounted_at(settings.mount_point) is not None:
            self._need_own_mount()
            self._fill()
            return
        device = self._await_device()
        found = devices.signature_of(device)
        if found is None:
            self._format(device)
        elif not self._is_own(found):
            raise GuestError(
                f"The volume {device} holds something that is not of this instance ({found.type}"
                f"{f', UUID {found.uuid}' if found.uuid else ''}). It is left as it is."
            )
        self._check(device)
        self._mount(device)
        self._remember()
        self._fill(device)

    def grow(self, size_bytes: int) -> None:
        """Let the mounted file system fill its device, which has or soon will have that size. Raises `GuestError`."""
        device = self._need_own_mount()
        until = time.monotonic() + _SIZE_WAIT_S
        while devices.size_of(device) < size_bytes:
            devices.rescan(device, self._settings.places)
            if time.monotonic() > until:
                raise GuestError(
                    f"The volume has {devices.size_of(device)} bytes as this machine sees it, not {size_bytes}. "
                    "A restart of the server may show it as it is."
                )
            time.sleep(_POLL_S)
        self._fill_mounted(device, self._settings.mount_point)

    def _await_device(self) -> Path:
        """Return the device of the volume. One that is known by its name alone is taken only if it tells no serial number."""
        settings = self._settings
        if settings.volume_id and not is_id(settings.volume_id):
            raise GuestError("The id of a volume has the form of a UUID.")
        until = time.monotonic() + settings.wait_s
        while True:
            if settings.volume_id and (found := devices.find_by_serial(settings.volume_id, settings.places)) is not None:
                return found
            is_late = time.monotonic() > until
            if (is_late or not settings.volume_id) and (named := self._named_device()) is not None:
                return named
            if is_late:
                wanted = f"with the id {settings.volume_id}" if settings.volume_id else f"{settings.device}"
                raise GuestError(f"The data volume {wanted} did not appear within {settings.wait_s:.0f} s.")
            time.sleep(_POLL_S)

    def _named_device(self) -> Path | None:
        device, places = self._settings.device, self._settings.places
        if device is None or not device.is_block_device():
            return None
        if self._settings.volume_id and devices.tells_serial(device, places):
            return None
        return device

    def _is_own(self, found: Signature) -> bool:
        return found.type in FILE_SYSTEMS and found.uuid == self._uuid

    def _format(self, device: Path) -> None:
        """Make the file system. Its superblock is what is written last: who is cut off leaves the device blank still."""
        settings = self._settings
        marker = settings.agent_dir / MARKER
        if not settings.may_format or marker.exists():
            raise GuestError(f"The volume {device} bears no file system, although it should hold the data of the instance.")
        LOG.info("the volume %s is blank: it gets a file system of type %s", device, settings.fstype)
        label = f"trove-{self._uuid}"[:_LABEL_CHARS]
        # Without force: mkfs refuses what it finds to be in use, too.
        if settings.fstype == "ext4":
            devices.run("mkfs.ext4", "-q", *settings.format_options, "-U", self._uuid, "-L", label, str(device))
        elif settings.fstype == "xfs":
            devices.run("mkfs.xfs", "-q", *settings.format_options, "-m", f"uuid={self._uuid}", "-L", label, str(device))
        else:
            raise GuestError(f"volume_fstype must be one of {', '.join(FILE_SYSTEMS)}.")

    def _remember(self) -> None:
        marker = self._settings.agent_dir / MARKER
        if not marker.exists():
            make_way(marker.parent)
            marker.parent.mkdir(mode=0o700, exist_ok=True)
            marker.write_text(f"{self._uuid}\n")

    def _check(self, device: Path) -> None:
        """Mend what a crash left, as far as that is safe without asking. What is in use elsewhere is left to the kernel."""
        if self._type(device) == "ext4" and not devices.is_in_use(device):
            devices.run("e2fsck", "-p", str(device), good=_MENDED)

    def _mount(self, device: Path) -> None:
        settings, kind = self._settings, self._type(device)
        make_way(settings.mount_point)
        settings.mount_point.mkdir(exist_ok=True)
        options = ",".join(filter(None, (settings.mount_options, _SAFE)))
        devices.run("mount", "-t", kind, "-o", options, str(device), str(settings.mount_point))
        settings.mount_point.chmod(0o755)

    def _type(self, device: Path) -> str:
        found = devices.signature_of(device)
        if found is None or not self._is_own(found):
            raise GuestError(f"The volume {device} changed while it was looked at.")
        return found.type

    def _need_own_mount(self) -> Path:
        """Return the device that is mounted. Raises `GuestError` unless it is the one of this instance."""
        point = self._settings.mount_point
        mounted = mounted_at(point)
        if mounted is None:
            raise GuestError(f"The data volume is not mounted at {point}.")
        device = _device(mounted, self._settings.places)
        found = devices.signature_of(device)
        if found is None or not self._is_own(found):
            raise GuestError(f"What is mounted at {point} ({device}) is not the volume of this instance.")
        return device

    def _fill(self, device: Path | None = None) -> None:
        """Let the file system fill its device; one that cannot yet goes on as it is, and the next start tries again."""
        point = self._settings.mount_point
        try:
            self._fill_mounted(device or self._need_own_mount(), point)
        except GuestError as error:
            if device is None or self._type(device) != "ext4":
                LOG.warning("the file system does not grow now: %s", error)
                return
            LOG.warning("the file system grows before it is mounted: %s", error)
            devices.run("umount", str(point))
            devices.run("e2fsck", "-f", "-p", str(device), good=_MENDED)
            devices.run("resize2fs", str(device))
            self._mount(device)

    @staticmethod
    def _fill_mounted(device: Path, point: Path) -> None:
        mounted = mounted_at(point)
        if mounted is not None and mounted.type == "xfs":
            devices.run("xfs_growfs", "-d", str(point))
        else:
            devices.run("resize2fs", str(device))


def mounted_at(point: Path) -> Mounted | None:
    """Return what is mounted at a place, the topmost if several are; None when nothing is."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, _, place, *_ = fields.split(" ")
        kind, source, *_ = rest.split(" ")
        if _unescaped(place) == str(point):
            found = Mounted(device=device, type=kind, source=Path(_unescaped(source)))
    return found


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), text)


def _device(mounted: Mounted, places: Places) -> Path:
    """Return the device that is mounted, by its number: its name may be another's by now."""
    for candidate in (mounted.source, *_numbered(mounted.device, places)):
        with suppress(OSError):
            number = candidate.stat().st_rdev
            if f"{os.major(number)}:{os.minor(number)}" == mounted.device:
                return candidate
    raise GuestError(f"The device {mounted.device} that is mounted cannot be found.")


def _numbered(device: str, places: Places) -> list[Path]:
    blocks = sorted(places.blocks.iterdir()) if places.blocks.is_dir() else []
    found = []
    for block in blocks:
        with suppress(OSError):
            if (block / "dev").read_text().strip() == device:
                found.append(places.devices / block.name)
    return found
