"""Makes a machine of the instance's own ready for its database server: the server's user, the data volume, the address.

It is done before anything else at each start, and finds most of it done.
"""

import errno
import logging
import pwd
import socket
import time
from pathlib import Path

from trove.core.errors import GuestError
from trove.guestagent import devices
from trove.guestagent.host import DATABASE_UID, HostSettings, SandboxKind
from trove.guestagent.user import NAME, make_way
from trove.guestagent.volume import DataVolume

LOG = logging.getLogger(__name__)

_ADDRESS_TIMEOUT_S = 120.0
_POLL_S = 0.5
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def make_ready(settings: HostSettings) -> None:
    """Do all of it; nothing where the cloud does it. Raises `GuestError` with what is in the way."""
    if settings.sandbox is SandboxKind.USER:
        _ensure_account(settings)
    if settings.volume is not None:
        DataVolume(settings.instance_id, settings.volume).ensure()
    if settings.sandbox is SandboxKind.USER:
        _open_the_way(settings.data_dir)
        _await_address(settings.address)


def _ensure_account(settings: HostSettings) -> None:
    """Give the server's user a name: some programs, such as initdb, insist on that."""
    uid = DATABASE_UID if settings.uid is None else settings.uid
    gid = uid if settings.gid is None else settings.gid
    try:
        pwd.getpwuid(uid)
    except KeyError:
        LOG.info("the machine has no user %d: it gets one", uid)
        groups = [line.split(":")[2] for line in Path("/etc/group").read_text().splitlines() if line.count(":") >= 3]
        if str(gid) not in groups:
            devices.run("groupadd", "--gid", str(gid), NAME)
        shell = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
        devices.run("useradd", "--uid", str(uid), "--gid", str(gid), *shell, NAME)


def _open_the_way(data_dir: Path) -> None:
    """Let the server's user pass to its data: a package may have shut the directory above for a user of its own."""
    make_way(data_dir)
    data_dir.parent.chmod(data_dir.parent.stat().st_mode | 0o111)


def _await_address(address: str) -> None:
    """Return when the machine has the address, or after some time: the server's own complaint says more than ours then."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    until = time.monotonic() + _ADDRESS_TIMEOUT_S
    while time.monotonic() < until:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise GuestError(f"The address {address} cannot be used: {error.strerror}.") from error
            time.sleep(_POLL_S)
        else:
            return
    LOG.warning("the machine does not have the address %s yet", address)
