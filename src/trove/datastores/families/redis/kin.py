"""What sets the engines of the family apart."""

from dataclasses import dataclass

from trove.core.errors import GuestError
from trove.datastores.contract import Host
from trove.datastores.families.redis.naming import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """One engine. `version_field` is where `INFO server` tells its version; `file_name` begins the names of its files.

    `versions` are the beginnings of those that are known to read the data of the ones before them.
    """

    title: str
    file_name: str
    port: int
    program: str
    package: str
    version_field: str
    names: Names
    versions: tuple[str, ...]

    def server(self, host: Host) -> str:
        """Return the path of the server's program; raises `GuestError` that says how to install it."""
        found = host.find_program(self.program)
        if found is None:
            raise GuestError(f"{self.program} is not installed on this server: apt-get install {self.package}")
        return found
