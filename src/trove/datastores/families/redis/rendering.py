"""Renders configuration files, and reads the shipped catalogues of parameters. Runs in the control plane."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from trove.core.errors import InvalidInput
from trove.core.parameters import Parameter, exists_in, parse
from trove.datastores.contract import ConfigInputs
from trove.datastores.families.redis.options import option

if TYPE_CHECKING:
    from jinja2 import Template

_OPTION = re.compile(r"[a-z][a-z0-9_-]*")


def render(title: str, inputs: ConfigInputs) -> str:
    """Return the text of the file for a server with `inputs.ram_mib` of memory; `overrides` come last, so they win.

    The data may take so much that a copy of what changes while they are written out fits beside them. Raises `InvalidInput` for
    an override that is no option or whose value has a line break.
    """
    for name in inputs.overrides:
        if not _OPTION.fullmatch(name):
            raise InvalidInput(f"Configuration parameter '{name}' is not the name of an option.")
    ram = inputs.ram_mib
    share = 0.55 if ram < 1024 else 0.65
    return _template().render(
        title=title,
        instance_id=inputs.instance_id,
        ram_mib=ram,
        maxmemory_mib=max(16, int(ram * share)),
        maxclients=min(10000, max(100, ram)),
        backlog_mib=min(256, max(1, ram // 64)),
        replica_buffer_mib=min(1024, max(16, ram // 8)),
        overrides=inputs.overrides,
    )


@cache
def parameters(package: str, version: str) -> tuple[Parameter, ...]:
    """Return what `parameters.yaml` of a package has for a server of that version number, by name."""
    return tuple(each for each in _all(package) if exists_in(each, version))


@cache
def _all(package: str) -> tuple[Parameter, ...]:
    import yaml  # noqa: PLC0415  what never asks for parameters need not load it

    text = files(package).joinpath("parameters.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text))


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  the guest side must not load it

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701  no HTML
    environment.filters["option"] = _option
    return environment.from_string(files(__package__).joinpath("config.j2").read_text(encoding="utf-8"))


def _option(name: str, value: object) -> str:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = " ".join(str(each) for each in value)
    text = str(value)
    if re.search(r"[\r\n\0]", text):
        raise InvalidInput("Configuration values must not hold line breaks.")
    return option(name, text)
