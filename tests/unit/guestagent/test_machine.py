"""What the kernel says of processes and memory, also inside control groups."""

import os
from pathlib import Path

import pytest

from trove.core.errors import GuestError
from trove.guestagent import machine

MEMINFO = "MemTotal:        8000000 kB\nMemFree:         1000 kB\n"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8000000 KiB, and a place for control groups."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    return tmp_path


def test_figures_of_a_real_process() -> None:
    told = machine.diagnostics(os.getpid(), "10.11.6")
    assert told["version"] == "10.11.6"
    sizes = [int(str(told[name])) for name in ("vmPeak", "vmSize", "vmHwm", "vmRss")]
    assert sizes[0] >= sizes[1] > sizes[3] > 0
    assert sizes[2] >= sizes[3]
    assert int(str(told["threads"])) >= 1
    assert machine.diagnostics(os.getpid(), None)["version"] == "unknown"


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_a_server_that_does_not_run_has_none(pid: int | None) -> None:
    with pytest.raises(GuestError, match=r"does not run|ended"):
        machine.diagnostics(pid, None)


@pytest.mark.parametrize(
    ("lines", "file", "limit", "expected"),
    [
        ("0::/trove/i1\n", "trove/i1/memory.max", "536870912", 524288),
        ("0::/trove/i1\n", "trove/i1/memory.max", "max", 8000000),
        ("0::/\n", None, "", 8000000),
        ("4:memory:/trove/i1\n3:cpu:/x\n", "memory/trove/i1/memory.limit_in_bytes", "268435456", 262144),
        ("4:memory:/trove/i1\n", "memory/trove/i1/memory.limit_in_bytes", "9223372036854771712", 8000000),
    ],
)
def test_memory_is_what_the_control_group_allows(kernel: Path, lines: str, file: str | None, limit: str, expected: int) -> None:
    (kernel / "proc/self/cgroup").write_text(lines)
    if file is not None:
        (kernel / "cgroup" / file).parent.mkdir(parents=True)
        (kernel / "cgroup" / file).write_text(limit)
    assert machine.hardware()["mem_total"] == expected
