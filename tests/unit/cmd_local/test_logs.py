"""Logs are found by service or instance, shown from their end, and followed through rotation."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from trove.cmd.local import logs
from trove.cmd.local.layout import Layout, StackError


def nobody(_name: str) -> Sequence[Path]:
    return ()


def test_the_end_of_each_service_log_is_shown_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    layout.log_of("bus").write_text("1\n2\n3\n")
    layout.log_of("trove-api").write_text("a\nb")
    logs.show(logs.find_logs(layout, None, nobody), lines=2, follow=False)
    assert capsys.readouterr().out == f"==> {layout.log_of('bus')} <==\n2\n3\n==> {layout.log_of('trove-api')} <==\na\nb\n"


def test_one_log_is_shown_bare_and_followed_through_truncation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    path = layout.log_of("bus")
    path.write_text("old\n")
    steps = iter([lambda: path.write_text("old\nnew\n"), lambda: path.write_text("cut\n"), path.unlink])

    def keep_on() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is not None

    logs.show(logs.find_logs(layout, "bus", nobody), lines=0, follow=True, keep_on=keep_on)
    assert capsys.readouterr().out == "new\ncut\n"


def test_an_instance_is_asked_for_when_it_is_no_service(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    (tmp_path / "agent.log").touch()
    assert logs.find_logs(layout, "orders", lambda _: [tmp_path / "agent.log"]) == (tmp_path / "agent.log",)
    with pytest.raises(StackError, match="neither a service"):
        logs.find_logs(layout, "orders", nobody)


def test_before_the_first_up_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="trove-local up"):
        logs.find_logs(Layout(root=tmp_path), None, nobody)


def test_a_huge_log_is_read_from_its_end_only(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_text("x" * 100 + "\n" + "line\n" * 200_000)
    assert logs.tail(path, 3) == "line\n" * 3
    assert logs.tail(path, 0) == ""
