"""Places in the history of MariaDB servers: which of two is later, and whether one server has all that another one has."""

import pytest

from trove.core.errors import GuestError
from trove.datastores.mariadb import positions


@pytest.mark.parametrize("text", ["", "0-1-100", "0-1-100,7-3-2"])
def test_a_position_is_written_as_it_was_read(text: str) -> None:
    assert positions.write(positions.read(text)) == text


def test_of_several_servers_in_a_domain_the_last_transaction_counts() -> None:
    assert positions.write(positions.read("0-1-100, 0-2-101\n,0-3-99")) == "0-2-101"
    assert positions.read(None) == {}


@pytest.mark.parametrize("text", ["0-1", "a-b-c", "0-1-2;0-1-3", "-1-1-1"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(GuestError, match="not understood"):
        positions.read(text)


@pytest.mark.parametrize(
    ("here", "there", "reached"),
    [
        ("0-1-5", "", True),
        ("", "0-1-5", False),
        ("0-1-5", "0-1-5", True),
        ("0-2-6", "0-1-5", True),
        ("0-1-4", "0-1-5", False),
        ("0-1-9", "0-1-5,1-1-1", False),
    ],
)
def test_a_position_is_reached_when_no_domain_lacks_a_transaction(here: str, there: str, reached: bool) -> None:
    assert positions.reaches(positions.read(here), positions.read(there)) is reached


@pytest.mark.parametrize(
    ("own", "state", "shared"),
    [
        ("", "", True),
        ("0-1-100", "0-1-100,0-2-110", True),
        ("0-1-90", "0-1-100", True),
        ("0-1-101", "0-1-100,0-2-110", False),  # a write of its own, after the two had parted
        ("0-3-90", "0-1-100", False),
        ("0-1-100,1-1-1", "0-1-100", False),
        ("0-1-5", "", False),
    ],
)
def test_writes_that_the_source_does_not_have_are_seen(own: str, state: str, shared: bool) -> None:
    assert positions.is_part(positions.read(own), state) is shared


def test_the_later_of_two_positions_of_one_history_is_the_greater() -> None:
    lengths = [positions.length(positions.read(each)) for each in ("", "0-1-5", "0-2-6", "0-2-6,1-1-1")]
    assert lengths == sorted(set(lengths))
