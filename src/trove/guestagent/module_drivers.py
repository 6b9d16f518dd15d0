"""What is done with modules on a guest: one driver a type. A new type is a class here and a line in `DRIVERS`."""

import re
from collections.abc import Mapping
from typing import Protocol

from trove.core.errors import InvalidInput
from trove.datastores.contract import Host

LONGEST_MESSAGE = 1000
LICENSE_FILE = "newrelic-infra.yml"

_LICENSE_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")


class ModuleDriver(Protocol):
    """One type of modules. Both verbs may run twice."""

    def apply(self, host: Host, contents: bytes) -> str:
        """Put the module into effect and return what to tell of it. Raises `InvalidInput` when its contents are wrong."""

    def remove(self, host: Host) -> None:
        """Take what a module of this type put into effect away; nothing of it is fine."""


class Ping:
    """Says what its contents say: `message=<text>`. It shows that modules reach their guests."""

    def apply(self, _host: Host, contents: bytes) -> str:
        """Return the message."""
        return _setting(contents, "message", "a ping module")[:LONGEST_MESSAGE]

    def remove(self, _host: Host) -> None:
        """Do nothing: it left nothing."""


class NewRelicLicense:
    """Writes the license key of its contents, `license_key=<key>`, where New Relic's infrastructure agent reads it."""

    def apply(self, host: Host, contents: bytes) -> str:
        """Write the file, which nobody but the server's user can read."""
        key = _setting(contents, "license_key", "a new_relic_license module")
        if not _LICENSE_KEY.fullmatch(key):
            raise InvalidInput("The license_key of a new_relic_license module is 16 to 128 letters, digits, '_' or '-'.")
        host.write_file(host.config_dir / LICENSE_FILE, f"license_key: {key}\n".encode(), mode=0o600)
        return f"The license key was written to {LICENSE_FILE}."

    def remove(self, host: Host) -> None:
        """Remove the file."""
        (host.config_dir / LICENSE_FILE).unlink(missing_ok=True)


DRIVERS: Mapping[str, ModuleDriver] = {"ping": Ping(), "new_relic_license": NewRelicLicense()}


def driver(module_type: str) -> ModuleDriver:
    """Return the driver of a type. Raises `InvalidInput` naming the types that there are."""
    found = DRIVERS.get(module_type)
    if found is None:
        raise InvalidInput(f"This guest agent has no driver for {module_type} modules, only for {', '.join(sorted(DRIVERS))}.")
    return found


def _setting(contents: bytes, name: str, whose: str) -> str:
    try:
        text = contents.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"The contents of {whose} must be text in UTF-8.") from None
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == name and value.strip():
            return value.strip()
    raise InvalidInput(f"The contents of {whose} must have a line {name}=….")
