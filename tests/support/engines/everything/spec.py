"""The engine `everything` as the control plane sees it: MariaDB's rules for names, and every facet there is."""

from dataclasses import replace

from trove.datastores.contract import ClusterRules, ConfigInputs, Facet
from trove.datastores.mariadb.spec import SPEC as MARIADB


def _render_config(inputs: ConfigInputs) -> str:
    lines = [f"memory = {inputs.ram_mib}", *(f"{name} = {value}" for name, value in sorted(inputs.overrides.items()))]
    return "\n".join(lines) + "\n"


SPEC = replace(
    MARIADB,
    manager="everything",
    title="Everything",
    facets=frozenset(Facet),
    usable_versions=("1.0", "2.0"),
    render_config=_render_config,
    clusters=ClusterRules(min_members=2),
)
