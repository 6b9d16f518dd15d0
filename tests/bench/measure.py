"""How the bench measures: CPU seconds of process trees, resident memory, requests over one connection."""

import http.client
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report. `ratio` is value over baseline; `target` is the ratio or value to hold, in words."""

    name: str
    value: str
    baseline: str = ""
    ratio: float | None = None
    target: str = ""


def print_figure(figure: Figure) -> None:
    """Print one line at once, so that a long run shows progress."""
    ratio = "" if figure.ratio is None else f"{figure.ratio:8.2f} x"
    print(f"{figure.name:<58} {figure.value:>16} {figure.baseline:>22} {ratio:>10}  {figure.target}", flush=True)


def print_heading(title: str) -> None:
    """Print the title of a section."""
    print(f"\n{title}\n{'':<58} {'measured':>16} {'baseline':>22} {'ratio':>10}  target", flush=True)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process tree has used so far, to the nanosecond (scheduler statistics)."""
    root = psutil.Process(pid)
    return sum(_run_time(process.pid) for process in [root, *root.children(recursive=True)])


def _run_time(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """Return the resident memory of one process in MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


def cpu_per_request(pid: int, port: int, path: str, headers: Mapping[str, str], *, count: int = 1500) -> float:
    """Return the server's CPU seconds for each of `count` GET requests sent over one kept connection; each must answer 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get() -> None:
        connection.request("GET", path, headers=dict(headers))
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status == 200, f"GET {path}: {reply.status} {body[:300]!r}"

    for _ in range(100):
        get()
    before = cpu_seconds(pid)
    for _ in range(count):
        get()
    spent = cpu_seconds(pid) - before
    connection.close()
    return spent / count


def median_of(count: int, measure: Callable[[], float]) -> float:
    """Return the median of several runs."""
    return statistics.median(measure() for _ in range(count))


def wait_for(what: str, ready: Callable[[], bool], *, timeout_s: float = 60.0, interval_s: float = 0.005) -> float:
    """Wait until `ready` says so; return the seconds it took."""
    start = time.monotonic()
    while not ready():
        assert time.monotonic() - start < timeout_s, f"{what}: not within {timeout_s} s"
        time.sleep(interval_s)
    return time.monotonic() - start
