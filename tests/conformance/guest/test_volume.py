"""Data volumes: made ready once, known again, grown, and never taken for one when they are somebody else's."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.virtual_machines import Disk, own_mounts, tool

from trove.core.errors import GuestError
from trove.core.ids import new_id
from trove.guestagent import devices
from trove.guestagent.devices import Places
from trove.guestagent.volume import DataVolume, VolumeSettings, mounted_at

INSTANCE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    with own_mounts():
        yield


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path, size_mib=320)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def settings(disk: Disk, tmp_path: Path) -> Iterator[VolumeSettings]:
    point = tmp_path / "a place" / "mnt"
    yield VolumeSettings(mount_point=point, agent_dir=tmp_path / "agent", volume_id=disk.volume_id, may_format=True, wait_s=0)
    while mounted_at(point) is not None:
        tool("umount", str(point))


def ready(settings: VolumeSettings, instance_id: str = INSTANCE) -> None:
    DataVolume(instance_id, settings).ensure()


def away(settings: VolumeSettings) -> None:
    tool("umount", str(settings.mount_point))


def test_a_blank_volume_is_made_ready_once_and_known_again(settings: VolumeSettings, disk: Disk) -> None:
    ready(settings)
    found = mounted_at(settings.mount_point)
    assert found is not None
    assert (found.type, found.source) == ("ext4", disk.device)
    assert f"UUID={INSTANCE}" in tool("blkid", "--probe", "--output", "export", str(disk.device))
    assert {"noatime", "nosuid", "nodev"} <= set(options_of(settings.mount_point))
    (settings.mount_point / "kept").write_text("kept")
    ready(settings)
    away(settings)
    ready(settings)
    away(settings)
    # A machine that was made anew has no memory of it, and must not need one.
    ready(replace(settings, may_format=False, agent_dir=settings.agent_dir.with_name("anew")))
    assert (settings.mount_point / "kept").read_text() == "kept"


def options_of(point: Path) -> list[str]:
    return tool("findmnt", "--noheadings", "--output", "OPTIONS", str(point)).strip().split(",")


def a_table(disk: Disk) -> None:
    subprocess.run(["sfdisk", str(disk.device)], input=b"label: gpt\n1M,16M\n", check=True, capture_output=True)


def another_instance(disk: Disk) -> None:
    tool("mkfs.ext4", "-q", "-U", new_id(), str(disk.device))


def swap(disk: Disk) -> None:
    tool("mkswap", "-U", INSTANCE, str(disk.device))


def a_physical_volume(disk: Disk) -> None:
    """What LVM writes, by its manual: a label in the second sector."""
    with disk.device.open("r+b") as file:
        file.seek(512)
        file.write(b"LABELONE" + (1).to_bytes(8, "little") + bytes(4) + (32).to_bytes(4, "little") + b"LVM2 001")
        file.write(b"a" * 32)


@pytest.mark.parametrize("use", [a_table, another_instance, swap, a_physical_volume])
def test_what_is_somebody_elses_stays_byte_for_byte(settings: VolumeSettings, disk: Disk, use: Callable[[Disk], None]) -> None:
    use(disk)
    tool("sync")
    before = disk.image.read_bytes()
    with pytest.raises(GuestError, match=r"failed|is not of this instance"):
        ready(settings)
    tool("sync")
    assert disk.image.read_bytes() == before
    assert mounted_at(settings.mount_point) is None


def test_a_volume_that_lost_its_file_system_is_not_made_ready_again(settings: VolumeSettings, disk: Disk) -> None:
    ready(settings)
    away(settings)
    tool("wipefs", "--all", str(disk.device))
    before = disk.image.read_bytes()
    with pytest.raises(GuestError, match="bears no file system"):
        ready(settings)
    with pytest.raises(GuestError, match="bears no file system"):
        ready(replace(settings, may_format=False, agent_dir=settings.agent_dir.with_name("anew")))
    assert disk.image.read_bytes() == before


def test_what_cannot_be_read_is_not_blank(settings: VolumeSettings, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(program: str, *argv: str, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
        return run(program, *argv[:-1], "/dev/nothing-there", good=good)

    run = devices.run
    monkeypatch.setattr(devices, "run", broken)
    with pytest.raises(GuestError, match="wipefs failed"):
        ready(settings)
    monkeypatch.undo()
    assert devices.signature_of(disk.device) is None


def test_a_crash_at_any_point_of_the_making_is_made_good(settings: VolumeSettings, disk: Disk) -> None:
    # In the middle: what is there is not yet a file system.
    with disk.device.open("r+b") as file:
        file.seek(200 << 20)
        file.write(b"half" * 1000)
    assert devices.signature_of(disk.device) is None
    # After it, before anything was mounted or remembered.
    tool("mkfs.ext4", "-q", "-U", INSTANCE, str(disk.device))
    ready(settings)
    (settings.mount_point / "kept").write_text("kept")
    # The power went: the journal is to be replayed.
    copy = disk.image.read_bytes()
    away(settings)
    disk.image.write_bytes(copy)
    tool("blockdev", "--flushbufs", str(disk.device))
    ready(settings)


def test_a_grown_volume_is_filled_also_by_who_comes_after_a_crash(settings: VolumeSettings, disk: Disk) -> None:
    ready(settings)
    (settings.mount_point / "kept").write_bytes(b"kept" * 100_000)
    disk.grow(640)  # and whoever did that died before he told the guest
    away(settings)
    ready(settings)
    size = os.statvfs(settings.mount_point)
    assert size.f_blocks * size.f_frsize > 560 << 20
    assert (settings.mount_point / "kept").read_bytes() == b"kept" * 100_000
    volume = DataVolume(INSTANCE, settings)
    for _ in range(2):
        volume.grow(640 << 20)


def test_a_mounted_file_system_grows_where_the_machine_lets_it(settings: VolumeSettings, disk: Disk) -> None:
    ready(settings)
    disk.grow(640)
    try:
        DataVolume(INSTANCE, settings).grow(640 << 20)
    except GuestError as error:
        if "Permission denied to resize filesystem" not in error.message:
            raise
        pytest.skip("NOT TESTED here: this machine keeps the growing of mounted file systems even from root")
    size = os.statvfs(settings.mount_point)
    assert size.f_blocks * size.f_frsize > 560 << 20


def test_a_volume_is_found_whatever_its_name_is(settings: VolumeSettings, disk: Disk, tmp_path: Path) -> None:
    ready(settings)
    away(settings)
    before = disk.device
    disk.unplug()
    first = Disk(tmp_path, size_mib=1)
    try:
        disk.plug()
        assert disk.device != before or first.device != before
        ready(settings)
        found = mounted_at(settings.mount_point)
        assert found is not None
        assert found.source == disk.device
        away(settings)
    finally:
        first.remove()


def test_a_name_alone_counts_only_without_an_id_or_serial_numbers(settings: VolumeSettings, disk: Disk) -> None:
    missing = replace(settings, volume_id=new_id())
    with pytest.raises(GuestError, match="did not appear"):
        ready(missing)
    with pytest.raises(GuestError, match="did not appear"):
        ready(replace(missing, device=disk.device))  # the disk says that it is another one
    assert devices.signature_of(disk.device) is None
    ready(replace(settings, volume_id=None, device=disk.device))
    assert mounted_at(settings.mount_point) is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("serial", b"%(short)s"),
        ("device/serial", b"%(whole)s\n"),
        ("device/vpd_pg80", b"\0\x80\0\x24%(whole)s"),
    ],
)
def test_serial_numbers_are_read_where_there_is_no_udev(disk: Disk, tmp_path: Path, name: str, content: bytes) -> None:
    whole = disk.volume_id.encode()
    file = tmp_path / "class" / disk.device.name / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content % {b"short": whole[:20], b"whole": whole})
    places = Places(by_id=tmp_path / "nowhere", blocks=tmp_path / "class")
    assert devices.find_by_serial(disk.volume_id, places) == disk.device
    assert devices.find_by_serial(new_id(), places) is None
    assert devices.tells_serial(disk.device, places)


def test_two_disks_with_one_number_are_none(disk: Disk, tmp_path: Path) -> None:
    other = Disk(tmp_path, size_mib=1)
    try:
        by_id = tmp_path / "by-id"
        by_id.mkdir()
        (by_id / f"virtio-{disk.volume_id[:20]}").symlink_to(disk.device)
        (by_id / f"scsi-0QEMU_QEMU_HARDDISK_{disk.volume_id}").symlink_to(other.device)
        (by_id / f"virtio-{disk.volume_id[:20]}-part1").symlink_to("/dev/null")
        with pytest.raises(GuestError, match="Several devices"):
            devices.find_by_serial(disk.volume_id, Places(by_id=by_id))
    finally:
        other.remove()


def test_xfs_is_made_and_known_again(settings: VolumeSettings, disk: Disk) -> None:
    chosen = replace(settings, fstype="xfs", format_options=())
    try:
        ready(chosen)
    except GuestError as error:
        pytest.skip(f"NOT TESTED here: {error.message}")
    found = mounted_at(settings.mount_point)
    assert found is not None
    assert found.type == "xfs"
    disk.grow(640)
    DataVolume(INSTANCE, chosen).grow(640 << 20)
    size = os.statvfs(settings.mount_point)
    assert size.f_blocks * size.f_frsize > 560 << 20
    away(settings)
    ready(replace(chosen, may_format=False))
