"""Engines that exist in tests alone: `everything` declares every facet, so that the control plane's half of each is driven.

Importing this makes the registry find them, as it would find another folder below `trove.datastores`.
"""

from pathlib import Path

import trove.datastores

EVERYTHING = "everything"
"""Manager, and datastore, with every facet."""

_FOLDER = str(Path(__file__).parent)
if _FOLDER not in trove.datastores.__path__:
    trove.datastores.__path__.append(_FOLDER)
