"""The executable of the guest agent: what it reads and refuses."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from trove.cmd import guestagent
from trove.core.errors import InvalidInput
from trove.guestagent.host import SandboxKind

INFO = "[DEFAULT]\nguest_id=i-1\ndatastore_manager=mariadb\ninstance_rpc_encr_key=k%%y\n"
AGENT = "[DEFAULT]\ntransport_url=valkey+unix:///x?password=%p\nreport_interval=2\n"
HOST = "[host]\naddress=127.0.0.9\ndata_dir=/v\nrun_dir=/r\nconfig_dir=/c\nlog_dir=/l\nhide=/a, /b\nsandbox=bwrap\n"
HOST += "volume_bytes=1073741824\n"


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("guest_info.conf", INFO), ("trove-guestagent.conf", AGENT), ("host.conf", HOST)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("trove").setLevel(logging.NOTSET)


def test_all_files_together_are_the_settings(folder: Path) -> None:
    settings = guestagent.read_settings(folder)
    assert settings.key == "k%%y"
    assert settings.report_interval_s == 2.0
    assert settings.host.hide == (Path("/a"), Path("/b"))
    assert settings.host.sandbox is SandboxKind.BWRAP
    assert settings.host.volume_bytes == 1 << 30
    assert settings.host.template_dir is None
    assert settings.host.root_dir is None
    (folder / "host.conf").write_text(f"{HOST}root_dir=/images/one/rootfs\n")
    assert guestagent.read_settings(folder).host.root_dir == Path("/images/one/rootfs")
    assert "k%%y" not in repr(settings)
    assert "password" not in repr(settings)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("guest_info.conf", "[DEFAULT]\n", "datastore_manager"),
        ("trove-guestagent.conf", "[DEFAULT]\n", "transport_url"),
        ("trove-guestagent.conf", AGENT.replace("=2", "=never"), "report_interval"),
        ("host.conf", "[host]\n", "address"),
        ("host.conf", HOST.replace("/v", "v"), "data_dir"),
        ("host.conf", HOST.replace("bwrap", "chroot"), "sandbox"),
        ("host.conf", f"{HOST}root_dir=rootfs\n", "root_dir"),
        ("host.conf", "no section", "cannot be read"),
    ],
)
def test_a_wrong_option_is_named(folder: Path, file: str, text: str, words: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(InvalidInput, match=words):
        guestagent.read_settings(folder)


def test_a_bad_configuration_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guestagent.main(["--config-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_help_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, code in ((["--help"], 0), (["--version"], 0), ([], 2), (["--config-dir", "a", "--make-template", "b"], 2)):
        with pytest.raises(SystemExit) as ended:
            guestagent.main(argv)
        assert ended.value.code == code
    assert "SIGTERM" in capsys.readouterr().out


@pytest.mark.usefixtures("_root_logger")
def test_lines_carry_the_request_in_text_and_json(tmp_path: Path) -> None:
    for as_json in (False, True):
        file = tmp_path / f"log{as_json}"
        guestagent.start_logging(guestagent.LogSettings(file=file, as_json=as_json))
        logging.getLogger("trove.x").info("hello %s", "there", extra={"request_id": "req-1"})
        logging.getLogger("trove.x").debug("unseen")
    assert "[req-1] hello there" in (tmp_path / "logFalse").read_text()
    fields = json.loads(io.StringIO((tmp_path / "logTrue").read_text()).readline())
    assert (fields["request_id"], fields["message"], fields["level"]) == ("req-1", "hello there", "INFO")
