"""Renders configuration files. Runs in the control plane."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zlib import crc32

from trove.core.errors import InvalidInput
from trove.datastores.contract import ConfigInputs

if TYPE_CHECKING:
    from jinja2 import Template

_OPTION = re.compile(r"[a-z][a-z0-9_]*")


def render(package: str, inputs: ConfigInputs, **values: object) -> str:
    """Return the text of the template `config.j2` of a package; `overrides` come last, so they win.

    Raises `InvalidInput` for an override that is no option or whose value has a line break.
    """
    for name in inputs.overrides:
        if not _OPTION.fullmatch(name):
            raise InvalidInput(f"Configuration parameter '{name}' is not the name of an option.")
    common = {"instance_id": inputs.instance_id, "ram_mib": inputs.ram_mib, "server_id": server_id(inputs.instance_id)}
    return _template(package).render(**common, **values, overrides=inputs.overrides)


def server_id(instance_id: str) -> int:
    """Return a replication id for an instance: the same each time, never 0."""
    return crc32(instance_id.encode()) or 1


def buffer_pool_mib(ram_mib: int) -> int:
    """Return how much of the memory the buffer pool of InnoDB may take."""
    share = 0.3 if ram_mib < 1024 else 0.5 if ram_mib < 4096 else 0.65
    return max(16, int(ram_mib * share) // 8 * 8)


@cache
def _template(package: str) -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  the guest side must not load it

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701  no HTML
    environment.filters["option"] = _option
    return environment.from_string(files(package).joinpath("config.j2").read_text(encoding="utf-8"))


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    if isinstance(value, list | tuple):
        value = ",".join(str(each) for each in value)
    text = str(value)
    if re.search(r"[\r\n\0]", text):
        raise InvalidInput("Configuration values must not hold line breaks.")
    if isinstance(value, int | float) or re.fullmatch(r"[\w.,:+%-]*", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
