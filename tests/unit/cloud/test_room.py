"""A volume is promised only where the disk could hold it, and all volumes promised before, when they are full."""

import shutil
from pathlib import Path

import pytest

from trove.cloud.local.volumes import Volumes
from trove.core.errors import CloudError
from trove.core.ids import new_id
from trove.core.units import GIB


def volumes(directory: Path) -> Volumes:
    (directory / "volumes").mkdir()
    return Volumes(directory / "volumes", directory / "lock", loop=lambda: False)


def test_a_volume_larger_than_the_disk_is_refused_and_leaves_no_volume(tmp_path: Path) -> None:
    here, one = volumes(tmp_path), new_id()
    with pytest.raises(CloudError, match="no room"):
        here.ensure(one, size_gib=shutil.disk_usage(tmp_path).total // GIB + 1, volume_type="local")
    assert here.find(one) is None


def test_what_is_promised_to_others_is_not_free(tmp_path: Path) -> None:
    here, other = volumes(tmp_path), tmp_path / "volumes" / new_id()
    other.mkdir()
    with (other / "volume.img").open("wb") as image:  # Sparse: takes nothing yet, but may be filled.
        image.truncate(shutil.disk_usage(tmp_path).free)
    with pytest.raises(CloudError, match="promised"):
        here.ensure(new_id(), size_gib=1, volume_type="local")
