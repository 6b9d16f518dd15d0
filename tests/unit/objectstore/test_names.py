"""Rules for names."""

import pytest

from trove.core.errors import InvalidInput
from trove.objectstore.names import check_container, check_name


def test_lengths_are_counted_in_bytes() -> None:
    check_name("é" * 512)
    with pytest.raises(InvalidInput, match="1024 bytes of UTF-8, is 1026"):
        check_name("é" * 513)
    check_container("é" * 128)
    with pytest.raises(InvalidInput, match="256"):
        check_container("é" * 129)
