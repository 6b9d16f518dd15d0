"""Data volumes: a loop-mounted ext4 file system of the size asked for where root and the machine allow it, else a directory.

The size of a loop volume is enforced; that of a directory is only told to the agent, which watches and reports it.
Layout: `volumes/<instance id>/volume.json`, `volume.img` (loop only, sparse), and `mount/data`, which the engine gets.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trove.cloud.contract import StoragePool, VolumeInfo
from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.growth import check_not_growing, grow_mounted, grow_unmounted
from trove.cloud.local.locking import locked, try_locked
from trove.cloud.local.mounts import is_mounted, mounts, propagates, share
from trove.cloud.local.probes import probe_directory
from trove.cloud.local.processes import wait_until
from trove.cloud.local.records import make_directory, read_record, remove_tree, write_record
from trove.core.errors import CloudError, Unavailable
from trove.core.units import GIB

VOLUME_TYPE = "local"

DETACH_TIMEOUT_S = 5.0


class Volumes:
    """The volumes of one state directory. `directory` must exist. `loop` tells whether new ones are loop-mounted."""

    def __init__(self, directory: Path, lock: Path, *, loop: Callable[[], bool]) -> None:
        self._directory = directory
        self._lock = lock
        self._attaching = lock.with_name("attaching.lock")
        self._loop = loop

    def find(self, instance_id: str) -> VolumeInfo | None:
        """Return a volume, without knowing whether it is attached; None when there is none, or only the ruin of one."""
        record = read_record(self.home(instance_id) / "volume.json")
        if record is None:
            return None
        return VolumeInfo(
            id=f"volume-{instance_id}",
            instance_id=instance_id,
            size_gib=record["size_gib"],
            type=record["type"],
            attached=False,
        )

    def enforced(self, instance_id: str) -> bool:
        """Tell whether the size of a volume is a hard limit."""
        return (self.home(instance_id) / "volume.img").exists()

    def ensure(self, instance_id: str, *, size_gib: int, volume_type: str) -> VolumeInfo:
        """Create a volume unless it is there; a half-made one is made anew. Raises `CloudError`, as when the disk is full."""
        existing = self.find(instance_id)
        if existing is not None:
            return existing
        home = self.home(instance_id)
        remove_tree(home)
        make_directory(home)
        make_directory(home / "mount")
        self._check_room(size_gib * GIB)
        if self._loop():
            make_file_system(home / "volume.img", size_gib * GIB)
        write_record(home / "volume.json", {"size_gib": size_gib, "type": volume_type})
        created = self.find(instance_id)
        assert created is not None
        return created

    def check_growth(self, instance_id: str, *, size_gib: int) -> None:
        """Raise `CloudError` unless the disk has room for a volume of this size instead of the one that is there.

        Raises `Unavailable` while it is being grown by a program whose caller died.
        """
        image = self.home(instance_id) / "volume.img"
        check_not_growing(image)
        volume = self.find(instance_id)
        assert volume is not None
        present = image.stat().st_size if self.enforced(instance_id) else volume.size_gib * GIB
        if size_gib * GIB > present:
            self._check_room(size_gib * GIB - present)

    def grow(self, instance_id: str, *, size_gib: int) -> None:
        """Make a volume larger, mounted or not, for which `check_growth` found room. May run twice. Raises `CloudError`."""
        volume = self.find(instance_id)
        assert volume is not None
        home = self.home(instance_id)
        image = home / "volume.img"
        if self.enforced(instance_id):
            if image.stat().st_size < size_gib * GIB:
                os.truncate(image, size_gib * GIB)
            grow = grow_mounted if is_mounted(home / "mount") else grow_unmounted
            grow(image)
        write_record(home / "volume.json", {"size_gib": size_gib, "type": volume.type})

    def attached(self, instance_id: str) -> bool:
        """Tell whether a volume is mounted, which one that is a directory always is."""
        return not self.enforced(instance_id) or is_mounted(self.home(instance_id) / "mount")

    @contextmanager
    def attaching(self, instance_id: str) -> Iterator[None]:
        """Make sure that programs started inside see a volume that is attached inside, whatever namespace they are in.

        Raises `CloudError`.
        """
        if self.attached(instance_id):
            yield
            return
        with locked(self._attaching, shared=True):
            with locked(self._lock):
                if not propagates(self._directory):
                    share(self._directory)
            yield

    def attach(self, instance_id: str) -> Path:
        """Mount a volume unless it is mounted, within `attaching`; return where data goes in it.

        Raises `CloudError`; `Unavailable` while it is being grown by a program whose caller died.
        """
        home = self.home(instance_id)
        if not self.attached(instance_id):
            check_not_growing(home / "volume.img")
            mount_loop(home / "volume.img", home / "mount")
        make_directory(home / "mount")
        return home / "mount"

    def detach(self, instance_id: str, *, lazy: bool = False) -> None:
        """Unmount a volume unless it is not mounted.

        While somebody uses it: with `lazy` it leaves the tree at once and its space when the last user is gone; else
        raises `Unavailable` after some seconds.
        """
        mount = self.home(instance_id) / "mount"
        words = ""

        def gone() -> bool:
            nonlocal words
            if not is_mounted(mount):
                return True
            code, words = run([need_program("umount", "mount"), str(mount)])
            return code == 0 and not is_mounted(mount)

        if not wait_until(gone, DETACH_TIMEOUT_S):
            if not lazy:
                raise Unavailable(f"The volume of instance {instance_id} cannot be unmounted: {words.strip()}")
            must([need_program("umount", "mount"), "--lazy", str(mount)], "unmount a volume")
        self._unshare()

    def delete(self, instance_id: str) -> None:
        """Remove a detached volume with its data. Missing is fine."""
        home = self.home(instance_id)
        if home.exists():
            self.detach(instance_id, lazy=True)
            (home / "volume.json").unlink(missing_ok=True)
            remove_tree(home)

    def held(self) -> tuple[str, ...]:
        """Return the ids of the instances that have a volume, whole or half-made."""
        return tuple(sorted(path.name for path in self._directory.iterdir() if path.is_dir()))

    def _check_room(self, size: int) -> None:
        """Raise `CloudError` unless the disk could hold this volume and all others full: a promise that tenants rely on."""
        free = shutil.disk_usage(self._directory).free
        promised = 0
        for image in self._directory.glob("*/volume.img"):
            with suppress(FileNotFoundError):
                stat = image.stat()
                promised += max(0, stat.st_size - stat.st_blocks * 512)
        if free - promised < size:
            raise CloudError(
                f"There is no room for a volume of {size // GIB} GiB: of the disk {max(0, free - promised) / GIB:.1f} GiB are "
                "free and not promised to other volumes."
            )

    def pool(self) -> StoragePool:
        """Return the disk that holds the volumes, and what they add up to."""
        disk = shutil.disk_usage(self._directory)
        volumes = [self.find(each) for each in self.held()]
        return StoragePool(
            name=str(self._directory),
            type=VOLUME_TYPE,
            total_gib=disk.total / GIB,
            free_gib=disk.free / GIB,
            provisioned_gib=sum(volume.size_gib for volume in volumes if volume is not None),
        )

    def home(self, instance_id: str) -> Path:
        """Return the directory of a volume, in which it is mounted."""
        return self._directory / instance_id

    def _unshare(self) -> None:
        """Undo the sharing of the directory when no volume is mounted any more, and none is just being attached."""
        with locked(self._lock), try_locked(self._attaching) as alone:
            inside = str(self._directory.resolve()) + "/"
            if not alone or any(entry.point.startswith(inside) for entry in mounts()):
                return
            while is_mounted(self._directory):
                code, _ = run([need_program("umount", "mount"), str(self._directory)])
                if code != 0:
                    must([need_program("umount", "mount"), "--lazy", str(self._directory)], "unmount the directory of volumes")


def make_file_system(image: Path, size: int) -> None:
    """Make a sparse file of `size` bytes with an ext4 file system in it. Raises `CloudError`."""
    try:
        with image.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate(size)
    except OSError as error:
        raise CloudError(f"Cannot make a volume of {size // GIB} GiB: {error.strerror}") from error
    mkfs = need_program("mkfs.ext4", "e2fsprogs")
    must([mkfs, "-q", "-F", "-m0", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(image)], "make a file system")


def mount_loop(image: Path, point: Path) -> None:
    """Mount a file system from a file. Raises `CloudError`."""
    mount = need_program("mount", "mount")
    must([mount, "-t", "ext4", "-o", "loop,noatime,nosuid,nodev", str(image), str(point)], "mount a volume")


def loop_works(directory: Path) -> bool:
    """Tell whether loop volumes can be made, mounted and unmounted below `directory`, by trying one of 4 MiB."""
    try:
        with probe_directory(directory) as home:
            make_file_system(home / "probe.img", 4 * 1024 * 1024)
            mount_loop(home / "probe.img", home / "mount")
            with suppress(OSError):
                (home / "mount" / "written").write_bytes(b"x")
            must([need_program("umount", "mount"), str(home / "mount")], "unmount the probe")
    except (CloudError, OSError):
        return False
    return True
