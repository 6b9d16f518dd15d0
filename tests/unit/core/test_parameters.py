"""What a value for a parameter must be like."""

import pytest

from trove.core.json import JSON
from trove.core.parameters import Parameter, ParameterType, exists_in, looks_secret


def parameter(kind: str, **more: object) -> Parameter:
    return Parameter(name="p", type=ParameterType(kind), restart_required=False, **more)  # type: ignore[arg-type]


GOOD: list[tuple[Parameter, JSON]] = [
    (parameter("integer", minimum=-1, maximum=2**64 - 1), 2**64 - 1),
    (parameter("integer"), -(2**64) + 1),
    (parameter("float", minimum=0.5), 1),
    (parameter("float"), 0.5),
    (parameter("boolean"), False),
    (parameter("string"), ""),
    (parameter("string", minimum=1, maximum=3), "漢字x"),
    (parameter("string", values=("ROW", "MIXED")), "row"),
    (parameter("list"), ["a", 1, 2.5, True]),
]
BAD: list[tuple[Parameter, JSON, str]] = [
    (parameter("integer"), True, "an integer"),
    (parameter("integer"), 1.0, "an integer"),
    (parameter("integer"), "1", "an integer"),
    (parameter("integer", minimum=0), -1, "less than 0"),
    (parameter("integer", maximum=5), 6, "more than 5"),
    (parameter("integer"), 2**64, "as large"),
    (parameter("integer"), None, "an integer"),
    (parameter("float"), True, "a number"),
    (parameter("float"), float("nan"), "a number"),
    (parameter("float"), float("inf"), "a number"),
    (parameter("boolean"), 1, "true or false"),
    (parameter("boolean"), "true", "true or false"),
    (parameter("string"), 1, "a string"),
    (parameter("string"), "a\nb", "line breaks"),
    (parameter("string"), "\0", "line breaks"),
    (parameter("string"), "\ud800", "cannot be stored"),
    (parameter("string"), "x" * 4097, "at most 4096"),
    (parameter("string", minimum=2), "x", "at least 2"),
    (parameter("string", values=("ROW", "MIXED")), "COLUMN", "one of ROW, MIXED"),
    (parameter("list"), "a", "a list"),
    (parameter("list"), [["a"]], "a list"),
    (parameter("list"), ["a\n"], "a list"),
]


@pytest.mark.parametrize(("which", "value"), GOOD)
def test_good_values(which: Parameter, value: JSON) -> None:
    assert which.problem(value) is None


@pytest.mark.parametrize(("which", "value", "words"), BAD)
def test_bad_values_are_refused_with_what_is_allowed(which: Parameter, value: JSON, words: str) -> None:
    assert words in (which.problem(value) or "")


def test_values_are_stored_in_one_form() -> None:
    assert parameter("string", values=("ROW", "MIXED")).canonical("mixed") == "MIXED"
    assert isinstance(parameter("float").canonical(2), float)
    assert parameter("integer").canonical(2) == 2
    assert parameter("boolean").canonical(True) is True


@pytest.mark.parametrize(
    ("since", "until", "version", "there"),
    [
        (None, None, "10.11.6", True),
        ("10.11", None, "10.11.6", True),
        ("10.11.7", None, "10.11.6", False),
        ("10.9", None, "10.11", True),
        (None, "11.0", "10.11.6", True),
        (None, "10.11", "10.11.6", False),
        ("9", "10", "10.11", False),
    ],
)
def test_a_version_has_what_came_with_it_or_before_and_was_not_removed(
    since: str | None, until: str | None, version: str, there: bool
) -> None:
    assert exists_in(parameter("string", since=since, until=until), version) is there


@pytest.mark.parametrize(
    ("name", "secret"), [("admin_password", True), ("PASSWD", True), ("api_token", True), ("key_buffer_size", False)]
)
def test_what_looks_like_a_secret(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret
