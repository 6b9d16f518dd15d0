"""What operators set for the API, and the place where the composition root leaves it for the Paste factories.

PasteDeploy calls factories with strings from the ini file only; `install` is how `trove.cmd.api` hands them the doors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trove.operations.doors import Doors

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Settings of the HTTP side.

    `conf` is the oslo.config object that oslo.policy, oslo.middleware and keystonemiddleware read.
    `auth` selects the pipeline. `rates` are requests per minute of one user of a project, by HTTP method and `MGMT_POST`; 0 or
    absent is unlimited. `rate_storage` is the URL of their counters; `memory:` is for this process alone. `profiler_keys` are
    the HMAC keys of osprofiler, None when it is off.
    `configuration_wait_s` is how long a change of configuration, or of TLS, may wait for its effect.
    """

    conf: Any
    auth: Literal["keystone", "basic"] = "keystone"
    basic_user_file: Path | None = None
    basic_roles_file: Path | None = None
    public_endpoint: str | None = None
    max_body_bytes: int = MIB
    instances_page_size: int = 20
    backups_page_size: int = 20
    clusters_page_size: int = 20
    configurations_page_size: int = 20
    modules_page_size: int = 20
    databases_page_size: int = 20
    users_page_size: int = 20
    operations_page_size: int = 20
    configuration_wait_s: float = 0.0
    rates: Mapping[str, int] = field(default_factory=dict)
    rate_storage: str = "memory:"
    profiler_keys: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What every Paste factory of the API needs."""

    doors: Doors
    settings: ApiSettings


_holder: list[Installed] = []


def install(doors: Doors, settings: ApiSettings) -> None:
    """Make `doors` and `settings` known to the Paste factories that run from now on. May run again with others."""
    _holder[:] = [Installed(doors=doors, settings=settings)]


def installed() -> Installed:
    """Return what `install` was given last; raises RuntimeError when it never ran."""
    if not _holder:
        raise RuntimeError(
            "The API has no doors yet: trove.api.app.install(doors, settings) must run before api-paste.ini is loaded."
        )
    return _holder[0]
