"""The disk that boots by itself, read back with other tools than it was made with. Booting it is for `contrib/image/try`."""

import json
import subprocess
from pathlib import Path

import pytest
from contrib.image.imaging import commands, disks
from contrib.image.imaging.problems import BuildError

MIB = 2**20


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A root file system with a mark at both ends, a kernel and an initrd."""
    root, kernel, initrd = (tmp_path / name for name in ("root", "kernel", "initrd"))
    with root.open("wb") as file:
        file.write(b"first")
        file.seek(8 * MIB - 4)
        file.write(b"last")
    kernel.write_bytes(b"kernel" * 100_000)
    initrd.write_bytes(b"initrd" * 100_000)
    return root, kernel, initrd


def test_a_disk_has_a_boot_partition_for_both_firmwares_and_the_root(tmp_path: Path, parts: tuple[Path, Path, Path]) -> None:
    root, kernel, initrd = parts
    raw = tmp_path / "disk"
    disks.assemble(raw, root, kernel, initrd, tmp_path)
    table = json.loads(commands.must(["sfdisk", "--json", raw], "read the table"))["partitiontable"]
    boot, system = table["partitions"]
    assert (table["label"], boot["name"], system["name"]) == ("gpt", "trove-boot", "trove-root")
    assert boot["attrs"] == "LegacyBIOSBootable"
    assert system["size"] * 512 == root.stat().st_size
    with raw.open("rb") as file:
        sector = file.read(512)
        assert sector[:400] == disks.GPT_LOADER.read_bytes()[:400]
        assert sector[510:] == b"\x55\xaa"
        file.seek(system["start"] * 512)
        assert file.read(5) == b"first"
        file.seek((system["start"] + system["size"]) * 512 - 4)
        assert file.read(4) == b"last"
        file.seek(boot["start"] * 512)
        assert b"SYSLINUX" in file.read(512)
    for name, content in (
        ("vmlinuz", kernel.read_bytes()),
        ("initrd", initrd.read_bytes()),
        ("EFI/BOOT/BOOTX64.EFI", disks.UEFI_LOADER.read_bytes()),
    ):
        found = tmp_path / "found"
        commands.must(["mcopy", "-n", "-o", "-i", f"{raw}@@{MIB}", f"::/{name}", found], "read a file back")
        assert found.read_bytes() == content
    for name in ("syslinux/syslinux.cfg", "loader/entries/trove.conf"):
        assert disks.ARGUMENTS in commands.must(["mtype", "-i", f"{raw}@@{MIB}", f"::/{name}"], "read a file")
    assert "ldlinux" in commands.must(["mdir", "-a", "-b", "-i", f"{raw}@@{MIB}", "::/syslinux"], "list").lower()


def test_a_kernel_that_does_not_fit_is_told(tmp_path: Path, parts: tuple[Path, Path, Path]) -> None:
    root, kernel, initrd = parts
    with kernel.open("r+b") as file:
        file.truncate(disks.BOOT_MIB * MIB)
    with pytest.raises(BuildError, match="copy vmlinuz"):
        disks.assemble(tmp_path / "disk", root, kernel, initrd, tmp_path)


def test_the_packed_form_is_the_disk(tmp_path: Path, parts: tuple[Path, Path, Path]) -> None:
    raw = tmp_path / "disk"
    disks.assemble(raw, *parts, tmp_path)
    disks.compress(raw, tmp_path / "disk.qcow2")
    assert (
        subprocess.run(["qemu-img", "compare", raw, tmp_path / "disk.qcow2"], capture_output=True, check=False).returncode == 0
    )
