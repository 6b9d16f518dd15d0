"""From the configuration to what guest agents are told of machines of their own."""

from configparser import Error, RawConfigParser
from pathlib import Path
from typing import Any

from trove.config.datastores import MANAGERS
from trove.core.errors import InvalidInput
from trove.operations.doors import GuestMachines

LARGEST_CA = 16 * 1024
"""Nova takes 64 KiB of user data, in which the certificates are encoded twice."""

_OF_EXT4 = "-m 5"


def machines(conf: Any) -> GuestMachines | None:
    """Return it for a cloud of virtual machines, None for others. Raises `InvalidInput` naming the option that is wrong."""
    if conf.cloud != "openstack":
        return None
    fitting = conf.volume_fstype == "ext4" or conf.format_options != _OF_EXT4
    return GuestMachines(
        mount_points={name: _mount_point(name, conf[name].mount_point) for name in MANAGERS},
        device_path=_absolute("device_path", conf.device_path),
        volume_fstype=conf.volume_fstype,
        format_options=conf.format_options if fitting else "",
        mount_options=conf.mount_options,
        uid=conf.database_service_uid,
        agent_options=_agent_options(Path(conf.guest_config)),
        ca=_certificates(conf),
    )


def _mount_point(manager: str, value: str) -> str:
    place = _absolute(f"[{manager}] mount_point", value)
    if len(Path(place).parts) < 3:
        raise InvalidInput(f"[{manager}] mount_point: must be a directory below another one, such as /var/lib/mysql.")
    return place


def _absolute(name: str, value: str) -> str:
    if not value.startswith("/"):
        raise InvalidInput(f"{name}: must be an absolute path.")
    return value.rstrip("/")


def _agent_options(path: Path) -> str:
    """Return the text of the operator's file for all guest agents; nothing when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
        RawConfigParser(strict=False).read_string(text)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, Error) as error:
        raise InvalidInput(f"guest_config: {path} cannot be read ({type(error).__name__}).") from None
    return text


def _certificates(conf: Any) -> bytes | None:
    """Return the certificates of all authorities that are to be trusted, None for the usual ones."""
    known = (conf.oslo_messaging_rabbit.ssl_ca_file, conf.service_credentials.cafile, conf.objectstore.s3_ca_file)
    files = (conf.guest_ca_file,) if conf.guest_ca_file else known
    found = []
    for file in dict.fromkeys(filter(None, files)):
        try:
            found.append(Path(file).read_bytes().strip() + b"\n")
        except OSError as error:
            raise InvalidInput(f"guest_ca_file: {file} cannot be read: {error.strerror}.") from None
    if len(whole := b"".join(found)) > LARGEST_CA:
        raise InvalidInput(
            f"guest_ca_file: must name a file of at most {LARGEST_CA} bytes, as it travels in servers' user data, with the "
            f"certificates of the bus's and the object store's authorities alone; {', '.join(filter(None, files))} is larger."
        )
    return whole or None
