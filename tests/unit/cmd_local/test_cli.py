"""The command line explains itself, refuses what is wrong with 2, and never asks where nobody can answer."""

import io
from pathlib import Path

import pytest

from trove.cmd.local import cli
from trove.cmd.local.layout import Layout


@pytest.mark.parametrize("verb", ["up", "down", "status", "env", "logs", "reset", "image build", "image list", "image remove"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*verb.split(), "--help"])
    assert exit_.value.code == 0
    assert "--state-dir" in capsys.readouterr().out


def test_the_manual_names_files_exit_codes_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for heading in ("usage:", "files:", "exit status:", "examples:"):
        assert heading in text


@pytest.mark.parametrize("words", [[], ["dance"], ["up", "--port", "x"], ["logs", "-n", "-1"], ["down", "--timeout", "0"]])
def test_wrong_words_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_options_that_cannot_work_end_with_1_and_their_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--state-dir", str(tmp_path / "s"), "--port", "70000"]) == 1
    assert "--port" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_reset_asks_only_where_somebody_can_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    layout.settings.write_text("{}")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["reset", "--state-dir", str(layout.root)]) == 2
    assert "--yes" in capsys.readouterr().err
    answers = io.StringIO("no\n")
    monkeypatch.setattr(answers, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", answers)
    assert cli.main(["reset", "--state-dir", str(layout.root)]) == 1
    assert layout.settings.exists()
