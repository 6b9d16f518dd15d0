"""Block devices of this machine: which one is the volume, how large it is, and what it bears.

A volume is found by the serial number that the hypervisor gives its disk, which is made from the id of the volume. Names such
as `/dev/vdb` go by the order in which disks were found, and mean another one after the next start.
"""

import errno
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trove.core.errors import GuestError
from trove.guestagent.roots import PATH, find_program

SERIAL_CHARS = 20
"""How much of a volume's id a virtio disk tells as its serial number."""

TOOL_TIMEOUT_S = 600.0

_NOTHING_FOUND = 2
_PROBED = 64 * 1024
_PAGE_HEADER = 4
_PARTITION = re.compile(r"-part\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a device bears, in blkid's words. `type` is that of a file system, or of whatever else it is."""

    type: str
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the kernel and udev show devices."""

    by_id: Path = Path("/dev/disk/by-id")
    blocks: Path = Path("/sys/class/block")
    devices: Path = Path("/dev")


def find_by_serial(volume_id: str, places: Places) -> Path | None:
    """Return the device whose serial number is that of a volume, or begins its id; None when there is none yet.

    Raises `GuestError` when several devices claim it.
    """
    wanted = {volume_id, volume_id[:SERIAL_CHARS]}
    found = {device.resolve() for device in _named_by_udev(wanted, places)} | set(_told_by_kernel(wanted, places))
    if len(found) > 1:
        names = ", ".join(sorted(map(str, found)))
        raise GuestError(f"Several devices have the serial number of volume {volume_id}: {names}.")
    return next(iter(found), None)


def tells_serial(device: Path, places: Places) -> bool:
    """Tell whether a device has a serial number at all, as far as anybody knows."""
    real = device.resolve()
    try:
        named = any(entry.resolve() == real for entry in places.by_id.iterdir())
    except OSError:
        named = False
    return named or bool(_serials(places.blocks / real.name))


def size_of(device: Path) -> int:
    """Return how many bytes a device has. Raises `GuestError`."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(handle, 0, os.SEEK_END)
        finally:
            os.close(handle)
    except OSError as error:
        raise GuestError(f"The volume {device} cannot be read: {error.strerror}.") from error


def is_in_use(device: Path) -> bool:
    """Tell whether the kernel, or a program that makes a file system, holds a device. Raises `GuestError`."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise GuestError(f"The volume {device} cannot be read: {error.strerror}.") from error
    return False


def rescan(device: Path, places: Places) -> None:
    """Have the kernel ask a disk for its size, where it does not notice by itself that it grew."""
    with suppress(OSError):
        (places.blocks / device.resolve().name / "device" / "rescan").write_text("1")


def signature_of(device: Path) -> Signature | None:
    """Return what a device bears; None only when it is proven that it bears nothing. Raises `GuestError` when in doubt."""
    _need_readable(device)
    code, words = run("blkid", "--probe", "--output", "export", str(device), good=(0, _NOTHING_FOUND))
    told = dict(line.split("=", 1) for line in words.splitlines() if "=" in line)
    # blkid also ends so when it could not look: wipefs has to agree, which knows more kinds and tells of all that it finds.
    _, kinds = run("wipefs", "--no-act", "--noheadings", "--output", "TYPE", str(device))
    if code == _NOTHING_FOUND and not told and not kinds.strip():
        return None
    kind = told.get("TYPE") or told.get("PTTYPE") or " ".join(sorted(set(kinds.split()))) or "something unknown"
    return Signature(type=kind, uuid=told.get("UUID"))


def run(program: str, *argv: str, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run one of the system's tools; return its exit code and what it printed.

    Raises `GuestError` with its complaint when it ends with another code than the `good` ones.
    """
    import subprocess  # noqa: PLC0415

    place = find_program(None, [program])
    if place is None:
        raise GuestError(f"{program} is not installed on this machine.")
    try:
        done = subprocess.run(
            [place, *argv],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": PATH, "LC_ALL": "C"},
            timeout=TOOL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise GuestError(f"{program} did not end within {TOOL_TIMEOUT_S:.0f} s.") from None
    if done.returncode not in good:
        words = " ".join((done.stderr or done.stdout).decode(errors="replace").split())[-400:]
        raise GuestError(f"{program} failed: {words or f'exit code {done.returncode}'}")
    return done.returncode, done.stdout.decode(errors="replace")


def _named_by_udev(wanted: set[str], places: Places) -> list[Path]:
    try:
        entries = sorted(places.by_id.iterdir())
    except OSError:
        return []
    disks = [entry for entry in entries if not _PARTITION.search(entry.name)]
    return [entry for entry in disks if any(entry.name.endswith((f"-{serial}", f"_{serial}")) for serial in wanted)]


def _told_by_kernel(wanted: set[str], places: Places) -> list[Path]:
    """Return the devices by their serial numbers of virtio, NVMe and SCSI: not every machine has udev."""
    found = []
    for block in sorted(places.blocks.iterdir()) if places.blocks.is_dir() else ():
        device = places.devices / block.name
        if _serials(block) & wanted and device.exists() and stat.S_ISBLK(device.stat().st_mode):
            found.append(device.resolve())
    return found


def _serials(block: Path) -> set[str]:
    found = set()
    for name in ("serial", "device/serial"):
        with suppress(OSError, UnicodeDecodeError):
            found.add((block / name).read_text().strip())
    with suppress(OSError, UnicodeDecodeError):
        found.add((block / "device/vpd_pg80").read_bytes()[_PAGE_HEADER:].decode("ascii").strip("\0 "))
    return found - {""}


def _need_readable(device: Path) -> None:
    """Raise `GuestError` unless both ends can be read: what cannot be read may bear anything."""
    size = size_of(device)
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            whole = all(os.pread(handle, min(_PROBED, size), at) for at in (0, max(0, size - _PROBED)))
        finally:
            os.close(handle)
    except OSError as error:
        raise GuestError(f"The volume {device} cannot be read: {error.strerror}.") from error
    if not whole:
        raise GuestError(f"The volume {device} is empty: it has no size.")
