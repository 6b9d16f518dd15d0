"""Disks in the two forms that clouds take: a bare file system beside its kernel and initrd, and a disk that boots by itself.

The latter is put together in a file, without loop devices, mounts or device mapper. Its first partition holds kernel and
initrd once, and a loader for each kind of firmware: SYSLINUX for BIOS, systemd-boot for UEFI.
"""

import shutil
from pathlib import Path

from contrib.image.imaging.commands import must
from contrib.image.imaging.elements import LABEL, Tree

MIB = 2**20
SECTOR = 512
BOOT_MIB = 96
ARGUMENTS = f"root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200n8 net.ifnames=0 no_timer_check quiet"
"""What the kernel is told. Of the consoles the last is where the system's own messages go, which clouds keep. Where a busy host
emulates, timers are late, and the kernel would take them for broken ones."""

GPT_LOADER = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
UEFI_LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
LOADERS = ((GPT_LOADER, "syslinux-common"), (UEFI_LOADER, "systemd-boot-efi"))

_SYSLINUX = f"""\
DEFAULT trove
PROMPT 0
TIMEOUT 0
LABEL trove
  LINUX /vmlinuz
  INITRD /initrd
  APPEND {ARGUMENTS}
"""
_ENTRY = f"""\
title Trove guest
linux /vmlinuz
initrd /initrd
options {ARGUMENTS}
"""
_MENU = "default trove.conf\ntimeout 0\neditor no\n"


def pack_bare(tree: Tree, folder: Path) -> list[Path]:
    """Write `disk.qcow2`, `vmlinuz` and `initrd`; return them."""
    made = [folder / "disk.qcow2", folder / "vmlinuz", folder / "initrd"]
    compress(tree.root, made[0])
    shutil.copyfile(tree.kernel, made[1])
    shutil.copyfile(tree.initrd, made[2])
    return made


def pack_bootable(tree: Tree, folder: Path, work: Path) -> list[Path]:
    """Write `bootable.qcow2`; return it in a list."""
    raw, made = work / "bootable.raw", folder / "bootable.qcow2"
    assemble(raw, tree.root, tree.kernel, tree.initrd, work)
    compress(raw, made)
    raw.unlink()
    return [made]


def assemble(raw: Path, root: Path, kernel: Path, initrd: Path, work: Path) -> None:
    """Make a disk of a root file system with its kernel and initrd."""
    begin = 1 + BOOT_MIB
    size = root.stat().st_size
    with raw.open("wb") as file:
        file.truncate(begin * MIB + size + MIB)  # the table's copy is at the end
    table = (
        "label: gpt\n"
        f"start={MIB // SECTOR}, size={BOOT_MIB * MIB // SECTOR}, type=uefi, name=trove-boot, attrs=LegacyBIOSBootable\n"
        f"start={begin * MIB // SECTOR}, size={size // SECTOR}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name={LABEL}\n"
    )
    must(["sfdisk", "--quiet", raw], "partition the disk", text=table)
    offset = str(MIB // SECTOR)
    must(
        ["mkfs.vfat", "-F", "16", "-n", "TROVEBOOT", "-h", offset, "--offset", offset, raw, str(BOOT_MIB * MIB // 1024)],
        "make the boot partition's file system",
    )
    partition = f"{raw}@@{MIB}"
    for folder in ("EFI", "EFI/BOOT", "loader", "loader/entries", "syslinux"):
        must(["mmd", "-i", partition, f"::/{folder}"], "make a directory in the boot partition")
    files = {
        "vmlinuz": kernel,
        "initrd": initrd,
        "EFI/BOOT/BOOTX64.EFI": UEFI_LOADER,
        "loader/loader.conf": _MENU,
        "loader/entries/trove.conf": _ENTRY,
        "syslinux/syslinux.cfg": _SYSLINUX,
    }
    for name, content in files.items():
        source = content
        if isinstance(content, str):
            source = work / "text"
            source.write_text(content)
        must(["mcopy", "-i", partition, source, f"::/{name}"], f"copy {name} into the boot partition")
    must(["syslinux", "--install", "--offset", str(MIB), "--directory", "/syslinux", raw], "install SYSLINUX")
    with raw.open("r+b") as file:
        file.write(GPT_LOADER.read_bytes())
    must(
        ["dd", f"if={root}", f"of={raw}", "bs=1M", f"seek={begin}", "conv=sparse,notrunc", "status=none"],
        "copy the root file system",
    )


def compress(raw: Path, target: Path) -> None:
    """Write a disk as compressed qcow2."""
    must(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "4", raw, target], f"write {target.name}")
