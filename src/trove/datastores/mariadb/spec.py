"""MariaDB as the control plane sees it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import ConfigInputs, Facet, ReplicaBuild, Spec
from trove.datastores.mariadb.naming import NAMES

if TYPE_CHECKING:
    from trove.core.parameters import Parameter


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.mariadb.config import render_config  # noqa: PLC0415  the guest side reads the spec, not the template

    return render_config(inputs)


def _parameters(version: str) -> "tuple[Parameter, ...]":
    from trove.datastores.families.mysql.catalogue import parameters  # noqa: PLC0415  nor the catalogue

    return parameters("trove.datastores.mariadb", version)


def _read_config(text: str) -> Mapping[str, str]:
    from trove.datastores.families.mysql.options import read_config  # noqa: PLC0415

    return read_config(text)


LOGS: Mapping[str, LogType] = {"general": LogType.USER, "slow_query": LogType.USER, "error": LogType.SYS}

SPEC = Spec(
    manager="mariadb",
    title="MariaDB",
    tcp_ports=(3306,),
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
    replica_build=ReplicaBuild.BACKUP,
    root_name="root",
    default_password_length=36,
    usable_versions=("10.11", "11.8"),  # what the tests ran; others start with a warning
    check_database=NAMES.check_database,
    check_user=NAMES.check_user,
    check_password=NAMES.check_password,
    render_config=_render_config,
    parameters=_parameters,
    read_config=_read_config,
    logs=LOGS,
)
