"""The shipped catalogues of parameters that tenants may set. Read by the control plane."""

from functools import cache
from importlib.resources import files

from trove.core.parameters import Parameter, exists_in, parse


@cache
def parameters(package: str, version: str) -> tuple[Parameter, ...]:
    """Return what `parameters.yaml` of a package has for a server of that version number, by name."""
    return tuple(each for each in _all(package) if exists_in(each, version))


@cache
def _all(package: str) -> tuple[Parameter, ...]:
    import yaml  # noqa: PLC0415  what never asks for parameters need not load it

    text = files(package).joinpath("parameters.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text))
