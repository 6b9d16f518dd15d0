"""Renders the configuration file for a flavor. Runs in the control plane."""

from trove.datastores.contract import ConfigInputs
from trove.datastores.families.mysql.rendering import buffer_pool_mib, render

_PACKAGE = "trove.datastores.families.oracle_mysql"


def render_config(title: str, inputs: ConfigInputs) -> str:
    """Return the text of the file for a server with `inputs.ram_mib` of memory; `overrides` come last, so they win.

    Raises `InvalidInput` for an override that is no option or whose value has a line break.
    """
    ram = inputs.ram_mib
    buffer_pool = buffer_pool_mib(ram)
    return render(
        _PACKAGE,
        inputs,
        title=title,
        max_connections=min(4000, max(50, ram // 6)),
        table_open_cache=min(4000, max(200, ram // 2)),
        table_definition_cache=min(2000, max(400, ram // 2)),
        tmp_table_mib=min(64, max(8, ram // 64)),
        # Its own tables, and what it keeps for each of many connections, take memory that small machines have not.
        performance_schema=ram >= 4096,
        buffer_pool_mib=buffer_pool,
        # The pool is rounded up to a multiple of this; it has at most 1000 of them.
        chunk_mib=8 if buffer_pool <= 4096 else 128,
        redo_mib=min(1024, max(32, buffer_pool // 2)),
    )
