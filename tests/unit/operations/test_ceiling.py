"""The ceiling of pending operations: every kind in the catalogue heeds it, only deletions make room and pass."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.scenes import scene_of
from tests.support.stepped import stepped_world
from tests.support.world import CALLER, request

from trove.core.errors import Overloaded
from trove.operations.catalogue import KINDS
from trove.operations.instance import create


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_operation_but_deletion_heeds_the_ceiling(tmp_path: Path, kind: str) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with stepped_world(tmp_path) as here:
            idle = scene_of(kind)(here)
            if kind == "backup.delete":
                KINDS["backup.create"].rehearse(here.doors, CALLER, idle)
                here.run_until_quiet(lambda _point: None)
            create.start(here.doors, CALLER, request(name="waiting"))
            limits = replace(here.settings.limits, max_pending_operations=1)
            doors = replace(here.doors, settings=replace(here.settings, limits=limits))
            if kind.endswith(".delete"):
                KINDS[kind].rehearse(doors, CALLER, idle)
            else:
                with pytest.raises(Overloaded):
                    KINDS[kind].rehearse(doors, CALLER, idle)
    finally:
        logging.disable(logging.NOTSET)
