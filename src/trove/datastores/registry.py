"""Finds an engine by the name of its folder: the spec for anybody, the driver for the guest side."""

import importlib
import pkgutil
import re
from types import ModuleType

import trove.datastores
from trove.core.errors import InvalidInput
from trove.datastores.contract import Driver, Host, Spec

_FAMILIES = "families"
"""What engines share; not an engine."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def managers() -> tuple[str, ...]:
    """Return the names of all engines, in order."""
    found = pkgutil.iter_modules(trove.datastores.__path__)
    return tuple(sorted(module.name for module in found if module.ispkg and module.name != _FAMILIES))


def spec(manager: str) -> Spec:
    """Return the spec of an engine; raises `InvalidInput` for a manager that does not exist."""
    found = _load(manager, "spec").SPEC
    assert isinstance(found, Spec)
    return found


def driver(manager: str, host: Host) -> Driver:
    """Return the driver of an engine for `host`; raises `InvalidInput` for a manager that does not exist. Guest side only."""
    made: Driver = _load(manager, "driver").driver(host)
    return made


def make_template(manager: str, host: Host) -> None:
    """Prepare a data directory to copy from in `host.template_dir`; raises `InvalidInput`, `GuestError`. May run twice."""
    _load(manager, "template").make_template(host)


def _load(manager: str, part: str) -> ModuleType:
    if not _NAME.fullmatch(manager) or manager not in managers():
        raise InvalidInput(f"There is no datastore manager '{manager}'; there are: {', '.join(managers())}.")
    return importlib.import_module(f"trove.datastores.{manager}.{part}")
