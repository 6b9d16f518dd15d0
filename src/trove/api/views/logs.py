"""How logs look (contract 12.1)."""

from trove.core.json import JSON
from trove.core.logs import metafile_of, prefix_of
from trove.operations.log.reach import Shown

NOWHERE = "None"
"""What clients expect in place of a container where there is none."""


def log(shown: Shown) -> dict[str, JSON]:
    """Return one log."""
    report = shown.report
    return {
        **report.to_json(),
        "container": shown.container or NOWHERE,
        "prefix": prefix_of(shown.home) if shown.container else NOWHERE,
        "metafile": metafile_of(shown.home),
    }
