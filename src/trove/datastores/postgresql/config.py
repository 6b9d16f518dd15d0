"""Renders PostgreSQL's configuration file for a flavor. Runs in the control plane."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from trove.core.errors import InvalidInput
from trove.datastores.contract import ConfigInputs
from trove.datastores.postgresql.options import quoted

if TYPE_CHECKING:
    from jinja2 import Template

_OPTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")


def render_config(inputs: ConfigInputs) -> str:
    """Return the text of the file for a server with `inputs.ram_mib` of memory; `overrides` come last, so they win.

    Raises `InvalidInput` for an override that is no option or whose value has a line break.
    """
    for name in inputs.overrides:
        if not _OPTION.fullmatch(name):
            raise InvalidInput(f"Configuration parameter '{name}' is not the name of an option.")
    ram = inputs.ram_mib
    max_connections = min(1000, max(50, ram // 8))
    shared_mib = max(16, ram // 4 // 8 * 8)
    return _template().render(
        instance_id=inputs.instance_id,
        ram_mib=ram,
        major=int(re.match(r"\d*", inputs.version)[0] or 0),  # type: ignore[index]
        max_connections=max_connections,
        shared_mib=shared_mib,
        cache_mib=max(32, ram * 5 // 8),
        work_kib=max(1024, (ram - shared_mib) * 1024 // (max_connections * 2)),
        maintenance_mib=min(2048, max(16, ram // 16)),
        autovacuum_mib=min(1024, max(16, ram // 32)),
        autovacuum_workers=2 if ram < 2048 else 3,
        overrides=inputs.overrides,
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  the guest side must not load it

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701  no HTML
    environment.filters["option"] = _option
    return environment.from_string(files(__package__).joinpath("config.j2").read_text(encoding="utf-8"))


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        value = ",".join(str(each) for each in value)
    text = str(value)
    if re.search(r"[\r\n\0]", text):
        raise InvalidInput("Configuration values must not hold line breaks.")
    return quoted(text)
