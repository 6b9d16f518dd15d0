"""MariaDB as the control plane sees it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.datastores.mariadb import naming

if TYPE_CHECKING:
    from trove.core.parameters import Parameter


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.mariadb.config import render_config  # noqa: PLC0415  the guest side reads the spec, not the template

    return render_config(inputs)


def _parameters(version: str) -> "tuple[Parameter, ...]":
    from trove.datastores.mariadb.parameters import parameters  # noqa: PLC0415  nor the catalogue

    return parameters(version)


def _read_config(text: str) -> Mapping[str, str]:
    from trove.datastores.mariadb.options import read_config  # noqa: PLC0415

    return read_config(text)


LOGS: Mapping[str, LogType] = {"general": LogType.USER, "slow_query": LogType.USER, "error": LogType.SYS}

SPEC = Spec(
    manager="mariadb",
    title="MariaDB",
    tcp_ports=(3306,),
    facets=frozenset({Facet.DATABASES, Facet.USERS, Facet.ROOT, Facet.CONFIGURATION, Facet.LOGS, Facet.BACKUPS}),
    root_name="root",
    default_password_length=36,
    usable_versions=("10.11",),  # what the tests ran; others start with a warning
    check_database=naming.check_database,
    check_user=naming.check_user,
    check_password=naming.check_password,
    render_config=_render_config,
    parameters=_parameters,
    read_config=_read_config,
    logs=LOGS,
)
