"""What directories take while others are at work in them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trove.core.trees import bytes_on_disk


def put(path: Path, kib: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(kib * 1024))
    return path


def test_all_files_below_count_but_those_apart(tmp_path: Path) -> None:
    put(tmp_path / "a", 8)
    put(tmp_path / "deep" / "er" / "b", 4)
    put(tmp_path / "logs" / "c", 64)
    lone = put(tmp_path / "deep" / "d", 32)
    assert bytes_on_disk(tmp_path) == 108 * 1024
    assert bytes_on_disk(tmp_path, apart=[tmp_path / "logs", lone]) == 12 * 1024
    assert bytes_on_disk(tmp_path / "nothing") == 0


def test_what_vanishes_while_one_looks_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stays", "goes", "folder/goes"):
        put(tmp_path / name, 4)
    walk = os.walk

    def walk_and_remove(top: Path) -> Iterator[Any]:
        for place, inner, names in walk(top):
            if inner:
                shutil.rmtree(tmp_path / "folder")
                (tmp_path / "goes").unlink()
            yield place, inner, names

    monkeypatch.setattr(os, "walk", walk_and_remove)
    assert bytes_on_disk(tmp_path) == 4 * 1024
