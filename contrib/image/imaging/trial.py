"""Boots an image once, without a cloud: a config drive gives what Trove gives its servers, and the agent must ask for the bus.

The drive's user data is what `trove.cloud.openstack.userdata` makes; the bus is a listener here, which the agent can only know
from the files that cloud-init has written.
"""

import argparse
import base64
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contrib.image.imaging import commands
from contrib.image.imaging.disks import ARGUMENTS
from contrib.image.imaging.problems import BuildError
from contrib.image.imaging.records import NAME

from trove.cloud.openstack.userdata import userdata

PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "genisoimage": "genisoimage"}
UEFI = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
"""The only size of it that Debian has had since trixie; bookworm has it, too."""
HEADER = b"AMQP\x00\x00\x09\x01"
"""What a client of RabbitMQ says first."""
_GATEWAY = "10.0.2.2"
"""The address under which QEMU's user network has the machine that it runs on."""
_MAC = "52:54:00:12:34:56"
DRIVE = "config.iso"
_VOLUME_BYTES = 2**30
_SERIAL_CHARS = 20
"""How much of a volume's id Nova tells as the serial number of its disk."""
_DONE = "trove-trial: end of the report"
_MOUNTED = "trove-trial: the data volume is mounted"
_MOUNT_POINT = "/var/lib/trove/volume"
_REPORT = f"""\
for try in $(seq 120); do [ "$(systemctl show -P MainPID trove-guestagent.service)" != 0 ] && break; sleep 1; done
{{
  ls -l /etc/trove/conf.d
  systemctl show -P ActiveState -P SubState -P MainPID trove-guestagent.service
  systemctl list-units --failed --no-legend
  mountpoint -q {_MOUNT_POINT} && echo '{_MOUNTED}'
  df -h / {_MOUNT_POINT} | tail -2
  systemd-analyze time
  journalctl --no-pager -o cat -u trove-guestagent.service | tail -40
  echo '{_DONE}'
}} >/dev/ttyS0 2>&1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a boot showed. `seconds` is from power on to the agent's first word to the bus, None if there was none."""

    console: str
    seconds: float | None

    @property
    def reported(self) -> bool:
        """Return whether the guest told how it is."""
        return _DONE in self.console

    @property
    def mounted(self) -> bool:
        """Return whether the agent had made the volume ready, for the whole machine."""
        return _MOUNTED in self.console


class Bus:
    """Listens where the agent is told that the bus is, and notes when it says the right thing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                with peer, suppress(OSError):
                    peer.settimeout(30)
                    if peer.recv(len(HEADER), socket.MSG_WAITALL) == HEADER:
                        self.asked.set()

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def guest_files(manager: str, version: str, port: int, volume: str) -> dict[str, bytes]:
    """Return the files of an agent, as the task manager writes them; the secrets are of no use anywhere.

    `volume` is the id of its data volume.
    """
    instance, key = str(uuid.uuid4()), base64.b64encode(secrets.token_bytes(32)).decode()
    bus = f"amqp://guest-{instance}:{secrets.token_urlsafe(16)}@{_GATEWAY}:{port}/"
    own = (
        f"[DEFAULT]\nguest_id = {instance}\ndatastore_manager = {manager}\ndatastore_version = {version}\n"
        f"tenant_id = {uuid.uuid4().hex}\ninstance_rpc_encr_key = {key}\n"
    )
    host = "".join(
        f"{name} = {value}\n"
        for name, value in {
            "sandbox": "user",
            "uid": "1001",
            "address": "0.0.0.0",  # noqa: S104  the address is not known before
            "data_dir": f"{_MOUNT_POINT}/data",
            "run_dir": "/run/trove/database",
            "config_dir": "/var/lib/trove/config",
            "agent_dir": "/var/lib/trove/agent",
            "log_dir": "/var/log/trove/database",
            "volume_id": volume,
            "device_path": "/dev/vdb",
            "mount_point": _MOUNT_POINT,
            "may_format": "true",
        }.items()
    )
    return {
        "guest_info.conf": own.encode(),
        "trove-guestagent.conf": f"[DEFAULT]\ntransport_url = {bus}\nreport_interval = 30\n".encode(),
        "host.conf": f"[host]\n{host}".encode(),
    }


def config_drive(work: Path, files: dict[str, bytes]) -> None:
    """Make the drive that Nova would make."""
    extra = "#cloud-config\n" + json.dumps({"runcmd": [["sh", "-c", _REPORT]]})
    latest = work / "drive/openstack/latest"
    latest.mkdir(parents=True)
    instance = str(uuid.uuid4())
    meta = {"uuid": instance, "name": "trial", "hostname": "trial", "availability_zone": "nova", "launch_index": 0}
    network = {
        "links": [{"id": "tap0", "type": "ovs", "ethernet_mac_address": _MAC, "mtu": 1450, "vif_id": str(uuid.uuid4())}],
        "networks": [{"id": "network0", "type": "ipv4_dhcp", "link": "tap0", "network_id": str(uuid.uuid4())}],
        "services": [],
    }
    (latest / "meta_data.json").write_text(json.dumps(meta))
    (latest / "network_data.json").write_text(json.dumps(network))
    (latest / "user_data").write_bytes(base64.b64decode(userdata(files, directory="/etc/trove/conf.d", extra=extra)))
    commands.must(
        ["genisoimage", "-quiet", "-R", "-J", "-V", "config-2", "-o", work / DRIVE, work / "drive"], "make the config drive"
    )


def machine(folder: Path, form: str, firmware: str, work: Path, *, volume: str, memory_mib: int) -> list[str]:
    """Return how to start QEMU on an overlay of the image, which stays as it is, with a blank data volume of that id."""
    source = folder / ("disk.qcow2" if form == "bare" else "bootable.qcow2")
    overlay = work / "overlay.qcow2"
    commands.must(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", source.resolve(), overlay, "4G"], "make an overlay"
    )
    line = [
        "qemu-system-x86_64",
        "-machine",
        "pc",
        "-accel",
        "tcg,thread=multi",
        "-smp",
        "2",
        "-m",
        str(memory_mib),
    ]
    line += ["-display", "none", "-monitor", "none", "-no-reboot", "-serial", f"file:{work / 'console'}"]
    line += [
        "-drive",
        f"file={overlay},if=virtio,format=qcow2,cache=unsafe",
        "-drive",
        f"file={work / DRIVE},media=cdrom,readonly=on",
    ]
    data = work / "volume"
    with data.open("xb") as file:
        file.truncate(_VOLUME_BYTES)
    line += ["-drive", f"file={data},if=none,id=volume,format=raw,cache=unsafe"]
    line += ["-device", f"virtio-blk-pci,drive=volume,serial={volume[:_SERIAL_CHARS]}"]
    line += ["-netdev", "user,id=net", "-device", f"virtio-net-pci,netdev=net,mac={_MAC}", "-device", "virtio-rng-pci"]
    if form == "bare":
        line += ["-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"), "-append", ARGUMENTS]
    elif firmware == "uefi":
        line += ["-drive", f"if=pflash,format=raw,readonly=on,file={UEFI}"]
    return line


def boot(folder: Path, form: str, firmware: str, *, wait_s: float, memory_mib: int) -> Seen:
    """Boot an image and watch until its agent has asked for the bus and the guest has told how it is, or time is over."""
    try:
        record = json.loads((folder / NAME).read_text())
    except OSError as error:
        raise BuildError(f"{folder} is no image: {error}") from error
    with tempfile.TemporaryDirectory(prefix="trove-trial-") as place:
        work = Path(place)
        bus, process, seconds = Bus(), None, None
        try:
            volume = str(uuid.uuid4())
            config_drive(work, guest_files(record["manager"], record["version"], bus.port, volume))
            line = machine(folder, form, firmware, work, volume=volume, memory_mib=memory_mib)
            began = time.monotonic()
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while time.monotonic() - began < wait_s and process.poll() is None:
                if bus.asked.is_set() and seconds is None:
                    seconds = time.monotonic() - began
                if seconds is not None and _DONE in _read(work / "console"):
                    break
                time.sleep(0.2)
            if process.poll() not in {None, 0}:
                raise BuildError(f"QEMU failed: {(process.stderr.read() if process.stderr else '').strip()[-400:]}")
            return Seen(console=_read(work / "console"), seconds=seconds)
        finally:
            if process is not None:
                process.kill()
                process.communicate()
            bus.close()


def _read(console: Path) -> str:
    return console.read_text(errors="replace") if console.exists() else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="try",
        description="Boot an image once under QEMU, with a config drive and a volume as Trove gives them.",
        epilog="Needs the packages of the project itself. Exit codes: 0 the agent asked for the bus and had mounted the volume,"
        " 1 it did not, 2 wrong usage.",
    )
    parser.add_argument("image", type=Path, metavar="DIR", help="directory that `build` has filled")
    parser.add_argument("--form", choices=("bare", "qcow2"), default="bare")
    parser.add_argument("--firmware", choices=("bios", "uefi"), default="bios", help="of the form qcow2")
    parser.add_argument("--wait", type=float, default=600.0, metavar="S", help="how long (default: %(default)s)")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB", help="of the machine (default: %(default)s)")
    parser.add_argument("--console", type=Path, metavar="FILE", help="write what the serial console said")
    arguments = parser.parse_args(argv)
    try:
        commands.need_programs(PROGRAMS, [(UEFI, "ovmf")] if arguments.firmware == "uefi" else [])
        seen = boot(
            arguments.image,
            arguments.form,
            arguments.firmware,
            wait_s=arguments.wait,
            memory_mib=arguments.memory,
        )
    except BuildError as error:
        print(f"try: {error}", file=sys.stderr)
        return 1
    if arguments.console is not None:
        arguments.console.write_text(seen.console)
    if seen.seconds is None or not seen.reported:
        print("\n".join(seen.console.splitlines()[-40:]), file=sys.stderr)
        print(
            f"try: the agent did not ask for the bus within {arguments.wait:g} s; the console's end is above", file=sys.stderr
        )
        return 1
    if not seen.mounted:
        print("\n".join(seen.console.splitlines()[-40:]), file=sys.stderr)
        print("try: the data volume is not mounted; the console's end is above", file=sys.stderr)
        return 1
    print(f"The agent had mounted the data volume, and asked for the bus {seen.seconds:.0f} s after power on.")
    return 0
