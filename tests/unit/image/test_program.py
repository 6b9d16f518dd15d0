"""The command that builds: what it refuses, and what a build that fails leaves. The builder is a stand-in."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from contrib.image.imaging import commands, elements, program, sweeping
from contrib.image.imaging.wheels import SOURCE

Build = Callable[..., tuple[int, str, str]]

FAILING = """#!/bin/sh
echo "{mark}installing things"
echo "some noise"
mkdir -p "$TMP_DIR/deep" && echo x > "$TMP_DIR/deep/file"
echo "no such package: nosuch"
exit 3
"""
HANGING = """#!/bin/sh
echo "{mark}installing things"
sleep 600
"""


@pytest.fixture
def build(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Build:
    """Run the command as if as root, with a working directory that must be empty afterwards."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(commands, "need_programs", lambda *words: None)

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = program.main(["--work", str(work), "--output", str(tmp_path / "out"), *words])
        except SystemExit as error:
            code = int(str(error.code))
        printed = capsys.readouterr()
        assert list(work.iterdir()) == []
        return code, printed.out, printed.err

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def stand_in(folder: Path, script: str) -> Path:
    path = folder / "disk-image-create"
    path.write_text(script.format(mark=elements.MARK))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--datastore, --version and --output are needed"),
        (("--datastore", "oracle", "--version", "1"), "must be one of mariadb"),
        (("--datastore", "mariadb", "--version", "5"), "must be one of 10.11, 11.8"),
        (("--datastore", "mariadb", "--version", "10.11", "--form", "tape"), "invalid choice: 'tape'"),
        (("--datastore", "mariadb", "--version", "10.11", "--size", "0"), "--size"),
    ],
)
def test_wrong_words_are_refused(build: Build, words: tuple[str, ...], told: str) -> None:
    code, out, err = build(*words)
    assert (code, out) == (2, "")
    assert told in err


def test_nobody_but_root_builds(build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, out, err = build("--datastore", "mariadb", "--version", "10.11")
    assert (code, out) == (1, "")
    assert "as root" in err
    assert not (tmp_path / "out").exists()


def test_missing_programs_are_named_with_what_installs_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(commands, "PATH", "/nowhere")
    assert program.main(["--datastore", "mariadb", "--version", "10.11", "--output", "/nowhere/out"]) == 1
    err = capsys.readouterr().err
    assert "mmdebstrap" in err
    assert "apt-get install e2fsprogs" in err
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(commands, "need_programs", lambda *words: None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    assert program.main(["--datastore", "mariadb", "--version", "10.11", "--output", "/nowhere/out"]) == 1
    assert "pip install 'trove[image]'" in capsys.readouterr().err


def test_a_build_that_fails_tells_why_and_leaves_nothing_but_its_log(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    builder = stand_in(tmp_path, FAILING)
    monkeypatch.setattr(elements, "find_builder", lambda: str(builder))
    code, out, err = build("--datastore", "mariadb", "--version", "10.11")
    assert code == 1
    assert "installing things" in out
    assert "some noise" not in out
    assert "exit code 3" in err
    assert "no such package: nosuch" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["build.log"]
    assert "some noise" in (tmp_path / "out/build.log").read_text()


def test_a_build_that_is_interrupted_ends_its_builder_and_leaves_nothing(tmp_path: Path) -> None:
    builder = stand_in(tmp_path, HANGING)
    (tmp_path / "work").mkdir()
    script = (
        "import os, sys; os.geteuid = lambda: 0\n"
        "from contrib.image.imaging import commands, elements, program\n"
        f"commands.need_programs = lambda *words: None; elements.find_builder = lambda: {str(builder)!r}\n"
        f"sys.exit(program.main(['--datastore', 'redis', '--version', '7.0', '--work', {str(tmp_path / 'work')!r}, "
        f"'--output', {str(tmp_path / 'out')!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            while "installing things" not in (line := process.stdout.readline()):
                assert line, "the build ended before it began"
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "interrupted" in err
    assert list((tmp_path / "work").iterdir()) == []
    assert not programs_of(builder)


def programs_of(builder: Path) -> list[Path]:
    """Return the processes that run a program, seen until they are gone or a minute is over."""
    until = time.monotonic() + 60
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [path] if str(builder).encode() in path.read_bytes() else []
            except OSError:
                continue
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.2)


def test_what_is_mounted_below_a_directory_is_found_the_innermost_first() -> None:
    info = (
        "22 1 0:1 / /work rw - ext4 a a\n23 22 0:2 / /work/in\\040side rw - tmpfs b b\n"
        "24 23 0:3 / /work/in\\040side/more rw - tmpfs c c\n25 1 0:4 / /workshop rw - tmpfs d d\n"
    )
    found = sweeping.mounts_below(Path("/work"), info)
    assert found == [Path("/work/in side/more"), Path("/work/in side"), Path("/work")]


MOUNTED = """
import subprocess, sys
from pathlib import Path
from contrib.image.imaging import sweeping
work = Path(sys.argv[1])
for name in ("a b", "a b/c"):
    (work / name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", work / name], check=True)
(work / "a b/c/file").write_text("x")
sweeping.sweep(work)
assert not work.exists()
assert str(work) not in Path("/proc/self/mountinfo").read_text()
"""


def test_a_directory_is_swept_with_all_that_is_mounted_in_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    line = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", MOUNTED, str(work)]
    done = subprocess.run(line, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
