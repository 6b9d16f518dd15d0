"""Renders MariaDB's configuration file for a flavor. Runs in the control plane."""

import re
from functools import partial

from trove.datastores.contract import ConfigInputs
from trove.datastores.families.mysql.rendering import buffer_pool_mib, render

_PACKAGE = "trove.datastores.mariadb"


def render_config(inputs: ConfigInputs) -> str:
    """Return the text of the file for a server with `inputs.ram_mib` of memory; `overrides` come last, so they win.

    Raises `InvalidInput` for an override that is no option or whose value has a line break.
    """
    ram = inputs.ram_mib
    buffer_pool = buffer_pool_mib(ram)
    return render(
        _PACKAGE,
        inputs,
        max_connections=min(4000, max(50, ram // 6)),
        table_open_cache=min(4000, max(200, ram)),
        tmp_table_mib=min(64, max(8, ram // 64)),
        aria_mib=min(128, max(8, ram // 64)),
        buffer_pool_mib=buffer_pool,
        redo_mib=min(128, max(8, buffer_pool // 4)),
        since=partial(_reaches, inputs.version),
    )


def _reaches(version: str, wanted: str) -> bool:
    """Tell whether a version number is `wanted` or a later one."""
    ours, theirs = (tuple(int(part) for part in re.findall(r"\d+", each)) for each in (version, wanted))
    return ours >= theirs
