"""PostgreSQL as the control plane sees it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import ConfigInputs, Facet, ReplicaBuild, Spec, series_of
from trove.datastores.postgresql import naming

if TYPE_CHECKING:
    from trove.core.parameters import Parameter


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.postgresql.config import render_config  # noqa: PLC0415  the guest side reads the spec, not the template

    return render_config(inputs)


def _parameters(version: str) -> "tuple[Parameter, ...]":
    from trove.datastores.postgresql.parameters import parameters  # noqa: PLC0415  nor the catalogue

    return parameters(version)


def _read_config(text: str) -> Mapping[str, str]:
    from trove.datastores.postgresql.options import read_config  # noqa: PLC0415

    return read_config(text)


LOGS: Mapping[str, LogType] = {"general": LogType.USER, "error": LogType.SYS}
"""PostgreSQL has one log: `general` is that with all statements in it, which tenants switch on and off."""

SPEC = Spec(
    manager="postgresql",
    title="PostgreSQL",
    tcp_ports=(5432,),
    facets=frozenset(
        {
            Facet.DATABASES,
            Facet.USERS,
            Facet.ROOT,
            Facet.CONFIGURATION,
            Facet.LOGS,
            Facet.BACKUPS,
            Facet.REPLICATION,
            Facet.TLS,
            Facet.UPGRADES,
        }
    ),
    root_name=naming.ROOT,
    default_password_length=36,
    usable_versions=("15", "17", "18"),  # what the tests ran; others start with a warning
    check_database=naming.check_database,
    check_user=naming.check_user,
    check_password=naming.check_password,
    render_config=_render_config,
    parameters=_parameters,
    read_config=_read_config,
    replica_build=ReplicaBuild.DIRECT,
    can_restore=lambda backup, own: series_of(backup)[:1] == series_of(own)[:1],
    logs=LOGS,
)
