"""Percona Server for MySQL as the control plane sees it.

Its server cannot be had where the tests run, nor `xtrabackup`: they run this engine on the server of MySQL 9.7, whose programs
have the same names. So what is proven is all that the two have in common, with backups made by the plugin CLONE.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trove.core.logs import LogType
from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.datastores.families.oracle_mysql.naming import NAMES

if TYPE_CHECKING:
    from trove.core.parameters import Parameter


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.families.oracle_mysql.config import render_config  # noqa: PLC0415  a guest reads the spec alone

    return render_config("Percona Server", inputs)


def _parameters(version: str) -> "tuple[Parameter, ...]":
    from trove.datastores.families.mysql.catalogue import parameters  # noqa: PLC0415  nor the catalogue

    return parameters("trove.datastores.families.oracle_mysql", version)


def _read_config(text: str) -> Mapping[str, str]:
    from trove.datastores.families.mysql.options import read_config  # noqa: PLC0415

    return read_config(text)


SPEC = Spec(
    manager="percona",
    title="Percona Server",
    tcp_ports=(3306,),
    facets=frozenset(
        {
            Facet.DATABASES,
            Facet.USERS,
            Facet.ROOT,
            Facet.CONFIGURATION,
            Facet.LOGS,
            Facet.BACKUPS,
            Facet.TLS,
            Facet.REPLICATION,
        }
    ),
    root_name="root",
    default_password_length=36,
    usable_versions=("9.7",),  # of MySQL: see above; others start with a warning
    check_database=NAMES.check_database,
    check_user=NAMES.check_user,
    check_password=NAMES.check_password,
    render_config=_render_config,
    parameters=_parameters,
    read_config=_read_config,
    logs={"general": LogType.USER, "slow_query": LogType.USER, "error": LogType.SYS},
)
