"""Rules for names."""

import pytest

from trove.core.errors import InvalidInput
from trove.objectstore.names import check_container, check_name


def test_lengths_are_counted_in_bytes() -> None:
    check_name("é" * 256)
    with pytest.raises(InvalidInput, match="512 bytes of UTF-8, is 514"):
        check_name("é" * 257)
    check_container("é" * 127)
    with pytest.raises(InvalidInput, match="255"):
        check_container("é" * 128)


@pytest.mark.parametrize("name", [".", "..", "a/../b", "../a", "a/.", "/.."])
def test_directions_are_no_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="between slashes"):
        check_name(name)


def test_dots_in_names_are_fine() -> None:
    for name in ("...", "a.b", ".a", "a..", "a/...b/c"):
        check_name(name)
    with pytest.raises(InvalidInput, match="container"):
        check_container("..")
