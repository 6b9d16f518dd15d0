"""The catalogue of PostgreSQL's parameters that tenants may set. Read by the control plane."""

from functools import cache
from importlib.resources import files

from trove.core.parameters import Parameter, exists_in, parse


@cache
def parameters(version: str) -> tuple[Parameter, ...]:
    """Return what a server of that version number has, by name."""
    return tuple(each for each in _all() if exists_in(each, version))


@cache
def _all() -> tuple[Parameter, ...]:
    import yaml  # noqa: PLC0415  what never asks for parameters need not load it

    text = files(__package__).joinpath("parameters.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text))
