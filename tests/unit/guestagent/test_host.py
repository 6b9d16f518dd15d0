"""The host door with plain processes."""

import dataclasses
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from tests.support.guests import wait_for

from trove.core.errors import GuestError
from trove.datastores.contract import Command
from trove.guestagent.host import TEMPLATE_COPY, HostSettings, SandboxedHost
from trove.guestagent.processes import identify, is_alive
from trove.guestagent.roots import find_program
from trove.guestagent.sandbox import Bubblewrap, View


def test_a_command_gets_its_input_environment_and_secrets(host: SandboxedHost) -> None:
    command = Command(
        argv=("/bin/sh", "-c", 'cat; echo "$GREETING"; cat "$0"; exit 3', "{key}"),
        env={"GREETING": "hello"},
        stdin=b"input ",
        secret_files={"key": b"s3cret"},
    )
    finished = host.run(command)
    assert (finished.returncode, finished.stdout) == (3, b"input hello\ns3cret")
    assert list(host.run_dir.iterdir()) == []
    assert "s3cret" not in repr(command)


def test_a_command_sees_nothing_of_the_agents_environment(host: SandboxedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROVE_SECRET", "x")
    assert b"TROVE_SECRET" not in host.run(Command(argv=("/usr/bin/env",))).stdout


def test_a_command_that_takes_too_long_is_killed(host: SandboxedHost) -> None:
    with pytest.raises(GuestError, match="did not end"):
        host.run(Command(argv=("/bin/sh", "-c", "sleep 60; true"), timeout_s=0.1))


def test_a_missing_program_is_named(host: SandboxedHost) -> None:
    with pytest.raises(GuestError, match="no-such-program"):
        host.run(Command(argv=("/no-such-program",)))
    with pytest.raises(GuestError, match="no-such-program"):
        host.start_server(Command(argv=("/no-such-program",)))
    assert host.find_program("no-such-program", "sh") is not None
    assert host.find_program("no-such-program") is None


def test_there_is_one_server_at_a_time_and_its_end_is_seen(host: SandboxedHost) -> None:
    assert host.server_pid() is None
    host.start_server(Command(argv=("/bin/sleep", "600")))
    pid = host.server_pid()
    assert pid is not None
    assert os.getsid(pid) == pid
    host.start_server(Command(argv=("/bin/sleep", "600")))
    assert host.server_pid() == pid
    host.signal_server(signal.SIGKILL)
    wait_for(lambda: host.server_pid() is None and not Path(f"/proc/{pid}").exists(), "the end of the server, also as a zombie")
    host.signal_server(signal.SIGKILL)


def test_another_agent_finds_the_server(host: SandboxedHost, settings: HostSettings) -> None:
    host.start_server(Command(argv=("/bin/sleep", "600")))
    assert SandboxedHost(settings).server_pid() == host.server_pid()
    (host.private_dir / "server.json").unlink()
    environment = Path(f"/proc/{host.server_pid()}/environ")
    # The kernel lets us go on from posix_spawn shortly before it tells the environment of the new program.
    wait_for(environment.read_bytes, "the environment of the server")
    assert SandboxedHost(settings).server_pid() == host.server_pid()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}'])
def test_a_broken_record_is_no_server(host: SandboxedHost, settings: HostSettings, content: bytes) -> None:
    (host.private_dir / "server.json").write_bytes(content)
    assert SandboxedHost(settings).server_pid() is None


def test_a_process_is_known_by_its_start(host: SandboxedHost) -> None:
    me = identify(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(dataclasses.replace(me, started=me.started + 1))
    assert not is_alive(dataclasses.replace(me, boot="another"))


def test_files_are_written_whole_and_private(host: SandboxedHost) -> None:
    path = host.config_dir / "file"
    host.write_file(path, b"one")
    host.write_file(path, b"two", mode=0o640)
    assert path.read_bytes() == host.read_file(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in host.config_dir.iterdir()) == ["agent", "file"]
    assert host.read_file(host.config_dir / "missing") is None
    with pytest.raises(GuestError, match="cannot be written"):
        host.write_file(host.config_dir / "no" / "file", b"")


def test_trees_are_copied_moved_and_removed_below_the_volume_only(host: SandboxedHost, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"x")
    (source / "deep" / "file").chmod(0o600)
    target = host.data_dir / "copy"
    host.copy_tree(source, target)
    host.sync_tree(target)
    assert (target / "deep" / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(GuestError, match="already"):
        host.copy_tree(source, target)
    with pytest.raises(GuestError, match="cp failed"):
        host.copy_tree(tmp_path / "missing", host.data_dir / "other")
    host.move(target, host.data_dir / "moved")
    for _ in range(2):
        host.remove_tree(host.data_dir / "moved")
    with pytest.raises(GuestError, match="not below"):
        host.remove_tree(source)
    with pytest.raises(GuestError, match="not below"):
        host.remove_tree(host.data_dir)


def test_a_directory_that_stands_for_a_volume_has_its_size(settings: HostSettings) -> None:
    host = SandboxedHost(dataclasses.replace(settings, volume_bytes=1 << 30))
    (host.data_dir / "file").write_bytes(bytes(100_000))
    usage = host.usage()
    assert 100_000 <= usage.used < 1_000_000
    assert usage.total == 1 << 30


def test_a_mounted_volume_has_the_size_of_its_file_system(host: SandboxedHost) -> None:
    usage = host.usage()
    assert 0 < usage.used < usage.total


def test_the_sandbox_shows_own_places_and_hides_the_rest(tmp_path: Path) -> None:
    others, own, private = tmp_path / "servers", tmp_path / "servers/i1/volume", tmp_path / "servers/i1/config/agent"
    for folder in (own, private, others / "i2"):
        folder.mkdir(parents=True)
    (others / "i2/secret").write_text("x")
    (private / "secret").write_text("x")
    view = View(writable=(own,), readable=(private.parent,), hidden=(others, private))
    program = find_program(None, ["bwrap"])
    if program is None or not Bubblewrap(program, view).works():
        pytest.skip("bubblewrap does not work here")
    script = f"ls {others}; ls {others}/i1/config/agent; touch {own}/mine; touch {private.parent}/no && echo bad; env; true"
    line = Bubblewrap(program, view).wrap(["/bin/sh", "-c", script], {"ONLY": "this"})
    done = subprocess.run(line, check=True, capture_output=True, text=True, env={"SECRET": "x"})
    assert done.stdout.split()[0] == "i1"
    assert (own / "mine").exists()
    for absent in ("i2", "secret", "bad", "SECRET"):
        assert absent not in done.stdout
    assert "ONLY=this" in done.stdout


def test_a_data_directory_that_another_makes_is_waited_for_and_not_made(settings: HostSettings) -> None:
    host = SandboxedHost(dataclasses.replace(settings, await_data_dir=True))
    assert not settings.data_dir.exists()
    waiting = threading.Thread(target=host.await_data_dir)
    waiting.start()
    assert waiting.is_alive()
    settings.data_dir.mkdir()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_data_directory_that_never_appears_is_told(settings: HostSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trove.guestagent.host._DATA_DIR_TIMEOUT_S", 0.0)
    with pytest.raises(GuestError, match="did not appear"):
        SandboxedHost(dataclasses.replace(settings, await_data_dir=True)).await_data_dir()


def test_the_copy_of_the_template_that_the_cloud_made_is_taken(settings: HostSettings, tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    host = SandboxedHost(dataclasses.replace(settings, template_dir=template))
    (host.data_dir / TEMPLATE_COPY).mkdir()
    (host.data_dir / TEMPLATE_COPY / "from-the-cloud").touch()
    host.copy_tree(template, host.data_dir / "data")
    assert (host.data_dir / "data" / "from-the-cloud").exists()
    assert not (host.data_dir / TEMPLATE_COPY).exists()


def test_a_file_written_in_haste_is_on_disk_after_the_sync(host: SandboxedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync

    def noted(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    path = host.config_dir / "hasty"
    host.write_file(path, b"x", lasting=False)
    assert synced == []
    host.sync_tree(host.data_dir)
    assert synced == [str(path), str(path.parent)]
    host.sync_tree(host.data_dir)
    assert len(synced) == 2


def test_namespaces_that_stopped_working_are_found_out_anew(host: SandboxedHost, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text('#!/bin/sh\ncase "$*" in *--unshare-user*) exit 1; esac\n')
    program.chmod(0o755)
    sandbox = Bubblewrap(str(program), View(writable=(tmp_path,)), known=("user", "pid"))
    assert {"--unshare-user", "--unshare-pid"} <= set(sandbox.wrap(["/bin/true"], {}))
    sandbox.distrust()
    assert "--unshare-user" not in sandbox.wrap(["/bin/true"], {})
