"""Machines as a cloud of virtual machines gives them, without the machine: an agent that is root, and a disk for its volume.

The agent gets the files that the control plane writes, and no more rights than its systemd unit leaves it.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.guests import Machine, marked_processes, wait_for

from trove.bus.contract import GuestCredential
from trove.core.clock import utcnow
from trove.core.datastores import DatastoreVersion
from trove.core.ids import new_id
from trove.core.instances import Address, Instance, Volume
from trove.core.status import Task
from trove.core.units import MIB
from trove.operations.doors import GuestMachines
from trove.operations.instance import bootstrap

USER = 65_534
"""Nobody's: it has a name everywhere, which PostgreSQL insists on."""
UNIT = Path(__file__).resolve().parents[2] / "contrib/systemd/trove-guestagent.service"
BY_ID = Path("/dev/disk/by-id")

_NEW_MOUNTS = 0x00020000
_SOURCE = Path(__file__).resolve().parents[2] / "src"


def need_root() -> None:
    """Skip a test, and say so, where disks cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED without root: volumes of virtual machines, and agents that are root")


class Disk:
    """A sparse file as a disk with a serial number, which udev shows as it does those of virtio."""

    def __init__(self, folder: Path, *, size_mib: int = 400) -> None:
        self.volume_id = new_id()
        self.image = folder / f"{self.volume_id}.img"
        self.image.touch()
        os.truncate(self.image, size_mib * MIB)
        self._link = BY_ID / f"virtio-{self.volume_id[:20]}"
        self.device = Path("/nowhere")
        self.plug()

    def plug(self) -> None:
        """Have the machine see it."""
        found = tool("losetup", "--find", "--show", str(self.image)).strip()
        self.device = Path(found)
        BY_ID.mkdir(parents=True, exist_ok=True)
        self._link.symlink_to(self.device)

    def unplug(self) -> None:
        """Take it away; nothing may have it mounted."""
        self._link.unlink(missing_ok=True)
        subprocess.run(["losetup", "--detach", str(self.device)], check=False, capture_output=True)

    def grow(self, size_mib: int) -> None:
        """Make it larger, as the kernel notices it of a virtio disk."""
        os.truncate(self.image, size_mib * MIB)
        tool("losetup", "--set-capacity", str(self.device))

    def remove(self) -> None:
        """Take it away with all that is on it, and the directories that it was shown in, if they are empty."""
        self.unplug()
        self.image.unlink(missing_ok=True)
        with suppress(OSError):
            BY_ID.rmdir()
            BY_ID.parent.rmdir()


def tool(*argv: str) -> str:
    """Run a program of the system and return what it printed."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@contextmanager
def own_mounts() -> Iterator[None]:
    """Give this thread, and what it starts, mounts of its own: a sandbox of another test would keep those that all can see."""
    need_root()
    libc, there = ctypes.CDLL(None, use_errno=True), Path.cwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(_NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
        tool("mount", "--make-rprivate", "/")
        yield
    finally:
        assert libc.setns(before, _NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
        os.close(before)
        os.chdir(there)


def rights() -> list[str]:
    """Return the capabilities that the unit leaves the agent."""
    lines = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith("CapabilityBoundingSet=")]
    return " ".join(lines).split()


@dataclass(kw_only=True)
class VirtualMachine(Machine):
    """A machine whose agent is root. `disk` is None for one without a volume."""

    disk: Disk | None = None
    new_volume: bool = True
    machines: GuestMachines = field(init=False)
    kernel: "subprocess.Popen[bytes]" = field(init=False)
    bus_url: str = field(init=False, repr=False)
    interval_s: float = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.machines = GuestMachines(mount_points={self.manager: str(self.mount_point)}, uid=USER)
        # What is mounted here, no sandbox of anybody else ever sees, or keeps.
        hold = ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]
        self.kernel = subprocess.Popen(hold)
        wait_for(lambda: Path(f"/proc/{self.kernel.pid}/comm").read_text() == "sleep\n", "the machine")

    @property
    def mount_point(self) -> Path:
        return self.root / "mnt"

    @property
    def mounted(self) -> Path:
        """Return where the test itself sees what is mounted there."""
        return Path(f"/proc/{self.kernel.pid}/root{self.mount_point}")

    def inside(self, *argv: str) -> list[str]:
        """Return the command line that runs something on the machine."""
        return ["nsenter", f"--target={self.kernel.pid}", "--mount", "--", *argv]

    def is_mounted(self) -> bool:
        return subprocess.run(self.inside("mountpoint", "-q", str(self.mount_point)), check=False).returncode == 0

    def unmount(self) -> None:
        """Unmount the volume, unless it is not mounted; a server that has just been killed may hold it a moment longer."""
        line = self.inside("umount", str(self.mount_point))
        wait_for(lambda: not self.is_mounted() or subprocess.run(line, check=False).returncode == 0, "the unmount")

    @property
    def private(self) -> Path:
        return self.root / "var/lib/trove/agent"

    @property
    def instance(self) -> Instance:
        version = DatastoreVersion(
            id=new_id(),
            datastore_id=new_id(),
            datastore_name=self.manager,
            name=self.version,
            version=self.version,
            manager=self.manager,
        )
        volume = None if self.disk is None else Volume(size_gib=1, volume_id=self.disk.volume_id)
        return Instance(
            id=self.instance_id,
            name="db",
            project_id="p",
            task=Task.NONE,
            flavor_id="1",
            datastore_version=version,
            created=utcnow(),
            updated=utcnow(),
            volume=volume,
            addresses=(Address(address="203.0.113.7", type="public"), Address(address=self.address)),
        )

    def write_bootstrap(self, transport_url: str, *, report_interval_s: float = 1.0) -> Path:
        """Write the control plane's own files, with directories of the machine's in the place of the system's."""
        self.bus_url, self.interval_s = transport_url, report_interval_s
        folder = self.root / "conf.d"
        folder.mkdir(mode=0o700, exist_ok=True)
        credential, instance = GuestCredential(url=transport_url), self.instance
        files = bootstrap.guest_files(
            instance, self.key, credential, report_interval_s=report_interval_s, first_config=None
        ) | bootstrap.machine_files(
            instance, self.machines, credential, report_interval_s=report_interval_s, new_volume=self.new_volume
        )
        for name, content in files.items():
            text = content.decode()
            for place in ("/run/", "/var/"):
                text = text.replace(f"= {place}", f"= {self.root}{place}")
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        return folder

    def rebuild(self) -> None:
        """Make all anew but the volume; the machine must be shut down."""
        for gone in ("run", "var", "conf.d"):
            shutil.rmtree(self.root / gone)
        self.new_volume = False
        self.write_bootstrap(self.bus_url, report_interval_s=self.interval_s)

    def make_ready(self) -> "subprocess.CompletedProcess[str]":
        """Do what the unit does before it starts the agent: in the machine's own view of files, with all rights."""
        line = [sys.executable, "-B", "-m", "trove.cmd.guestagent", "--config-dir", str(self.root / "conf.d"), "--make-ready"]
        return subprocess.run(self.inside(*line), check=False, capture_output=True, text=True, cwd="/", timeout=300)

    def agent(self, folder: Path) -> "subprocess.Popen[bytes]":
        """Start the agent as its unit does; its log goes to `agent.log`."""
        self.make_ready()
        with (self.root / "agent.log").open("ab") as log:
            made = subprocess.Popen(
                self.inside(*restricted([sys.executable, "-B", "-m", "trove.cmd.guestagent", "--config-dir", str(folder)])),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        self.agents.append(made)
        return made

    def shut_down(self) -> None:
        """Do what the machine does when it goes down: the agent, the database server, the volume."""
        self.kill_agent(15)
        line = [sys.executable, "-B", "-m", "trove.cmd.guestagent", "--config-dir", str(self.root / "conf.d"), "--stop"]
        done = subprocess.run(self.inside(*restricted(line)), check=False, capture_output=True, text=True, cwd="/", timeout=200)
        assert done.returncode == 0, done.stderr
        assert marked_processes(self.instance_id) == []
        self.unmount()

    def server_pid(self) -> int | None:
        return next(iter(marked_processes(self.instance_id)), None)

    def clean(self) -> None:
        """Kill, unmount and remove everything."""
        self.stop_all()
        self.unmount()
        self.kernel.kill()
        self.kernel.wait(10)
        if self.disk is not None:
            self.disk.remove()
        shutil.rmtree(self.root)


def restricted(argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` with the rights of the unit, and lets everybody read our Python."""
    mounts: list[str] = []
    for place in (Path(sys.base_prefix), Path(sys.prefix), _SOURCE, Path(__file__).parent):
        above = [each for each in reversed(place.resolve().parents) if not each.stat().st_mode & 0o001]
        if not above:
            continue
        if f"{above[0]}" not in mounts:
            mounts += ["--tmpfs", f"{above[0]}", "--chmod", "0755", f"{above[0]}"]
        for each in reversed(place.resolve().parents):
            if above[0] in each.parents:
                mounts += ["--dir", f"{each}", "--chmod", "0755", f"{each}"]
        mounts += ["--ro-bind", f"{place}", f"{place}"]
    allowed = [word for right in rights() for word in ("--cap-add", right)]
    return ["bwrap", "--dev-bind", "/", "/", *mounts, *allowed, "--", *argv]


@contextmanager
def virtual_machine(manager: str, *, disk: bool = True) -> Iterator[VirtualMachine]:
    """Make a machine, and remove it with all that was started on it."""
    need_root()
    root = Path(tempfile.mkdtemp(prefix="trove-v", dir="/tmp"))
    root.chmod(0o755)
    made = VirtualMachine(root=root, manager=manager, template=None, disk=Disk(root) if disk else None)
    try:
        yield made
    finally:
        made.clean()
