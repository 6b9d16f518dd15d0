"""Redis as the control plane sees it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.datastores.families.redis.naming import ROOT
from trove.datastores.redis.naming import NAMES

if TYPE_CHECKING:
    from trove.core.parameters import Parameter

_TITLE = "Redis"


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.families.redis.rendering import render  # noqa: PLC0415  the guest side reads the spec, not the template

    return render(_TITLE, inputs)


def _parameters(version: str) -> "tuple[Parameter, ...]":
    from trove.datastores.families.redis.rendering import parameters  # noqa: PLC0415  nor the catalogue

    return parameters("trove.datastores.redis", version)


def _read_config(text: str) -> Mapping[str, str]:
    from trove.datastores.families.redis.options import read_config  # noqa: PLC0415

    return read_config(text)


_FACETS = frozenset({Facet.USERS, Facet.ROOT, Facet.CONFIGURATION, Facet.LOGS, Facet.BACKUPS, Facet.REPLICATION})

SPEC = Spec(
    manager="redis",
    title=_TITLE,
    tcp_ports=(6379,),
    facets=frozenset({*_FACETS, Facet.UPGRADES}),
    root_name=ROOT,
    default_password_length=36,
    usable_versions=("7.0", "8.0"),  # what the tests ran; others start with a warning
    check_database=NAMES.check_database,
    check_user=NAMES.check_user,
    check_password=NAMES.check_password,
    render_config=_render_config,
    parameters=_parameters,
    read_config=_read_config,
    incremental_backups=False,
    logs={"error": LogType.SYS},
)
