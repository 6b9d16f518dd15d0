"""Two commands on one stack take turns; a taken port is refused with its holder's name."""

import os
import socket
import threading
from pathlib import Path

import pytest

from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.locking import exclusive
from trove.cmd.local.ports import check_free


def test_the_second_command_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    order: list[str] = []
    inside = threading.Event()
    go_on = threading.Event()

    def first() -> None:
        with exclusive(layout, "up"):
            inside.set()
            go_on.wait(20)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    with (
        pytest.raises(StackError, match=rf"another trove-local \(up, pid {os.getpid()}\)"),
        exclusive(layout, "down", timeout_s=0.1),
    ):
        order.append("never")
    go_on.set()
    with exclusive(layout, "down", timeout_s=20):
        order.append("second")
    thread.join(20)
    assert order == ["first", "second"]
    assert "waiting for another trove-local" in capsys.readouterr().err


def test_a_taken_port_is_refused_with_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} of 127\.0\.0\.1 is taken by pid {os.getpid()} .*--port"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)
