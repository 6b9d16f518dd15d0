"""Programs that are read from and written to while they run: what goes wrong anywhere is raised, and nothing is left."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from trove.core.errors import Cancelled, GuestError
from trove.datastores.contract import Command
from trove.guestagent import backups
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind
from trove.guestagent.liveness import WANTED


@pytest.fixture
def host(tmp_path: Path) -> SandboxedHost:
    folders = {name: tmp_path / name for name in ("data_dir", "run_dir", "config_dir", "log_dir")}
    return SandboxedHost(HostSettings(instance_id="i", address="127.0.0.1", sandbox=SandboxKind.PROCESS, **folders))


def shell(script: str, **options: float) -> Command:
    return Command(argv=("/bin/sh", "-c", script), **{"timeout_s": 30.0, **options})  # type: ignore[arg-type]


def test_what_a_program_writes_is_read_while_it_is_fed(host: SandboxedHost) -> None:
    sent = [bytes([number]) * 300_000 for number in range(20)]
    with host.stream(shell("cat"), sent) as chunks:
        assert b"".join(chunks) == b"".join(sent)


def test_streams_follow_one_another(host: SandboxedHost) -> None:
    with (
        host.stream(shell("printf abc")) as first,
        host.stream(shell("tr a-c A-C"), first) as second,
    ):
        assert b"".join(second) == b"ABC"


def test_a_failure_is_told_in_the_programs_words(host: SandboxedHost) -> None:
    with (
        pytest.raises(GuestError, match=r"sh failed: .*no such thing"),
        host.stream(shell("echo no such thing >&2; exit 3")) as chunks,
    ):
        list(chunks)
    with pytest.raises(GuestError, match="no-such-program"), host.stream(Command(argv=("/no-such-program",))) as chunks:
        list(chunks)


def test_a_failure_at_the_source_is_the_failure_of_all(host: SandboxedHost) -> None:
    with (
        pytest.raises(GuestError, match="source broke"),
        host.stream(shell("printf some; echo source broke >&2; exit 1")) as first,
        host.stream(shell("cat"), first) as second,
    ):
        list(second)


def test_an_error_of_what_feeds_a_program_is_raised_and_the_program_never_sees_an_end(
    host: SandboxedHost, tmp_path: Path
) -> None:
    def feed() -> Iterator[bytes]:
        yield b"half"
        raise GuestError("The checksum is wrong.")

    whole = tmp_path / "whole"
    with pytest.raises(GuestError, match="checksum"), host.stream(shell(f"cat >/dev/null && touch {whole}"), feed()) as chunks:
        list(chunks)
    assert not whole.exists()


def _stop(_chunk: bytes) -> None:
    raise Cancelled("Enough.")


def test_a_program_that_says_nothing_is_left_once_the_job_is_cancelled(host: SandboxedHost) -> None:
    asked = []

    def cancelled() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise Cancelled("Enough.")

    token = WANTED.set(cancelled)
    try:
        for script in ("sleep 600", "exec >&-; sleep 600"):
            asked.clear()
            with pytest.raises(Cancelled), host.stream(shell(script, timeout_s=500.0)) as chunks:
                list(chunks)
            with (
                pytest.raises(Cancelled),
                host.stream(shell(script, timeout_s=500.0)) as source,
                host.stream(shell("cat", timeout_s=500.0), source) as chunks,
            ):
                list(chunks)
    finally:
        WANTED.reset(token)


def test_leaving_kills_the_program(host: SandboxedHost) -> None:
    began = time.monotonic()
    with pytest.raises(Cancelled), host.stream(shell("while :; do echo x; done")) as chunks:
        _stop(next(chunks))
    with pytest.raises(GuestError, match="in time"), host.stream(shell("sleep 60", timeout_s=0.1)) as chunks:
        list(chunks)
    assert time.monotonic() - began < 50


def test_a_program_that_ends_before_all_is_fed_says_why_itself(host: SandboxedHost) -> None:
    with (
        pytest.raises(GuestError, match="enough"),
        host.stream(shell("echo enough >&2; exit 1"), iter([b"x" * 10_000_000])) as chunks,
    ):
        list(chunks)


def test_secrets_reach_a_program_as_files_that_go_with_it(host: SandboxedHost) -> None:
    command = Command(
        argv=("/bin/sh", "-c", "stat -c %a {secret}; cat {secret}; echo; echo {secret}"), secret_files={"secret": b"s3"}
    )
    with host.stream(command) as chunks:
        mode, content, place = b"".join(chunks).decode().split()
    assert (mode, content) == ("600", "s3")
    assert not Path(place).exists()


def test_a_program_never_takes_the_failure_of_the_one_before_it_for_the_end_of_the_data(
    host: SandboxedHost, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    with (
        suppress(GuestError),
        host.stream(shell("printf some; sleep 0.2; echo source broke >&2; exit 1")) as first,
        host.stream(shell(f"cat; sleep 0.5; touch {ended}"), first) as second,
        pytest.raises(GuestError, match="source broke"),
    ):
        list(second)
    assert not ended.exists()


def test_what_goes_from_program_to_program_is_counted(host: SandboxedHost) -> None:
    with host.stream(shell("head -c 3000000 /dev/zero")) as first:
        counted = backups._Counted(first)
        with host.stream(shell("wc -c"), counted) as second:
            assert int(b"".join(second)) == 3_000_000
    assert counted.total == 3_000_000
