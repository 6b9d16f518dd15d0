import io

import pytest

from trove.api import bodies
from trove.api.faults import TooLarge, UnsupportedMediaType
from trove.core.errors import InvalidInput


def environ(raw, **more):
    return {"wsgi.input": io.BytesIO(raw), "CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": "application/json", **more}


def test_a_body_is_read_to_its_length_only():
    assert bodies.read(environ(b'{"a": 1}rest', CONTENT_LENGTH="8"), max_bytes=100) == {"a": 1}


@pytest.mark.parametrize("more", [{"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
def test_no_length_is_no_body(more):
    assert bodies.read(environ(b"{}", **more), max_bytes=100) is None


def test_a_chunked_body_has_no_length_and_the_same_bound():
    more = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert bodies.read(environ(b"[1]", **more), max_bytes=3) == [1]
    with pytest.raises(TooLarge):
        bodies.read(environ(b"[12]", **more), max_bytes=3)


@pytest.mark.parametrize("length", ["-1", "x", "1.0", "٣"])
def test_a_length_that_is_no_number(length):
    with pytest.raises(InvalidInput, match="Content-Length"):
        bodies.read(environ(b"{}", CONTENT_LENGTH=length), max_bytes=100)


@pytest.mark.parametrize("length", ["101", "9" * 5000])
def test_a_large_body_is_refused_before_it_is_read(length):
    class Unreadable(io.BytesIO):
        def read(self, *_):
            raise AssertionError("read")

    with pytest.raises(TooLarge):
        bodies.read(environ(b"", CONTENT_LENGTH=length) | {"wsgi.input": Unreadable()}, max_bytes=100)


def test_a_body_without_type_is_taken_for_json_and_another_type_is_not():
    assert bodies.read(environ(b"[]", CONTENT_TYPE=""), max_bytes=9) == []
    with pytest.raises(UnsupportedMediaType, match="text/plain"):
        bodies.read(environ(b"[]", CONTENT_TYPE="text/plain"), max_bytes=9)


def test_depth_has_a_bound():
    levels = bodies.MAX_DEPTH - 1
    assert bodies.parse(b"[" * levels + b"1" + b"]" * levels)
    with pytest.raises(InvalidInput, match="nested"):
        bodies.parse(b"[" * (levels + 1) + b"1" + b"]" * (levels + 1))


def test_a_duplicate_key_is_named():
    with pytest.raises(InvalidInput, match="'name' twice"):
        bodies.parse(b'[{"name": 1, "name": 2}]')


def test_unicode_is_welcome():
    assert bodies.parse('{"ключ": "🦆\\ud83e\\udd86"}'.encode()) == {"ключ": "🦆🦆"}
