import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.bus.resp import Address, DisconnectedError, RespConnection, ServerError, parse_address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("valkey://", Address()),
        ("redis://host:6380/2", Address(host="host", port=6380, database=2)),
        ("valkey://ann:p%40ss%2F@host", Address(host="host", user="ann", password="p@ss/")),
        (
            "valkey+unix:///run/a%20b.sock?user=ann&password=p%26%3D%2B",
            Address(path="/run/a b.sock", user="ann", password="p&=+"),
        ),
        ("valkey+unix://ann:pw@/run/x.sock", Address(path="/run/x.sock", user="ann", password="pw")),
    ],
)
def test_addresses(url: str, expected: Address) -> None:
    assert parse_address(url) == (expected, {})


def test_options_are_left_over() -> None:
    assert parse_address("valkey://h?claim_idle=1")[1] == {"claim_idle": "1"}


def test_tls_verifies_the_server() -> None:
    address, _ = parse_address("valkeys://host")
    assert address.tls is not None
    assert address.tls.check_hostname


@pytest.mark.parametrize("url", ["http://x", "valkey+unix://", "valkey://h:port", "valkey://h/base"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_address(url)


def test_a_password_is_not_shown() -> None:
    assert "sesame" not in repr(parse_address("valkey://ann:sesame@host")[0])


def talk(tmp_socket: str, script: Callable[[socket.socket], None]) -> RespConnection:
    server = socket.socket(socket.AF_UNIX)
    server.bind(tmp_socket)
    server.listen()

    def run() -> None:
        peer, _ = server.accept()
        with peer, server:
            script(peer)

    threading.Thread(target=run, daemon=True).start()
    return RespConnection(Address(path=tmp_socket), timeout_s=10)


def test_replies_in_any_pieces(tmp_path_factory: pytest.TempPathFactory) -> None:
    @given(st.lists(st.integers(min_value=1, max_value=200), max_size=20))
    def check(cuts: list[int]) -> None:
        data = (
            b"*5\r\n$5\r\na\r\nbc\r\n:7\r\n$-1\r\n*-1\r\n*2\r\n+OK\r\n-ERR inner\r\n+done\r\n"
            + b"$3000\r\n"
            + b"x" * 3000
            + b"\r\n"
        )

        def script(peer: socket.socket) -> None:
            rest = data
            for cut in cuts:
                peer.sendall(rest[:cut])
                rest = rest[cut:]
            peer.sendall(rest)

        connection = talk(str(tmp_path_factory.mktemp("resp") / "s"), script)
        try:
            first = connection.receive(10)
            assert isinstance(first, list)
            assert first[:4] == [b"a\r\nbc", 7, None, None]
            assert isinstance(first[4], list)
            assert first[4][0] == b"OK"
            assert isinstance(first[4][1], ServerError)
            assert first[4][1].code == "ERR"
            assert connection.receive(10) == b"done"
            assert connection.receive(10) == b"x" * 3000
            with pytest.raises(DisconnectedError):
                connection.receive(10)
        finally:
            connection.close()

    check()


def test_an_unfinished_reply_can_be_waited_for_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    go_on = threading.Event()

    def script(peer: socket.socket) -> None:
        peer.sendall(b"*2\r\n$3\r\nabc\r\n$3\r\nd")
        go_on.wait(10)
        peer.sendall(b"ef\r\n")

    connection = talk(str(tmp_path_factory.mktemp("resp") / "s"), script)
    try:
        with pytest.raises(TimeoutError):
            connection.receive(0.05)
        go_on.set()
        assert connection.receive(10) == [b"abc", b"def"]
    finally:
        connection.close()


def test_an_error_reply_is_raised(tmp_path_factory: pytest.TempPathFactory) -> None:
    connection = talk(
        str(tmp_path_factory.mktemp("resp") / "s"), lambda peer: peer.recv(64) and peer.sendall(b"-NOPERM no rights\r\n:1\r\n")
    )
    try:
        with pytest.raises(ServerError, match="no rights"):
            connection.pipeline([("A",), ("B",)])
    finally:
        connection.close()
