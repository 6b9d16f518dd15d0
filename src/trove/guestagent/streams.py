"""A program that is read from, and written to, while it runs: its data are never whole in memory or on disk."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from trove.core.errors import GuestError
from trove.guestagent import liveness

CHUNK = 256 * 1024
PIPE = 1024 * 1024
ASK_EVERY_S = 1.0
_WORDS = 2000
_FEEDER_ENDS_S = 5.0


@runtime_checkable
class Poured(Protocol):
    """Data that can go into a pipe without being read here."""

    def pour(self, pipe: int, count: Callable[[int], None]) -> None:
        """Write all that is left into the pipe, telling `count` the bytes of each piece. Raises what reading does."""


def pour(chunks: Iterable[bytes], pipe: int, count: Callable[[int], None]) -> None:
    """Write data into a pipe. What another program writes goes there within the kernel."""
    if isinstance(chunks, Poured):
        chunks.pour(pipe, count)
        return
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            written = os.write(pipe, rest)
            count(written)
            rest = rest[written:]


class Stream:
    """One run of a program. Iterating gives what it writes, and ends with `GuestError` when it failed.

    Errors of `feed` are raised in place of the program's own: they are why it failed.
    """

    def __init__(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], feed: Iterable[bytes] | None, *, timeout_s: float
    ) -> None:
        self._name = Path(name).name
        self._error: BaseException | None = None
        self._late = False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed by kill()
        try:
            self._process = subprocess.Popen(
                argv,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                start_new_session=True,
            )
        except OSError as error:
            self._words.close()
            raise GuestError(f"{name} cannot be started: {error.strerror}.") from error
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # Fewer turns between us and the program. It is no matter where there is no more room for pipes.
                with contextlib.suppress(OSError):
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
        assert self._process.stdout is not None
        self._news = select.poll()
        self._news.register(self._process.stdout, select.POLLIN)
        self._alarm = threading.Timer(timeout_s, self._give_up)
        self._alarm.daemon = True
        self._alarm.start()
        self._feeder = None if feed is None else threading.Thread(target=self._feed, args=(feed,), daemon=True)
        if self._feeder is not None:
            self._feeder.start()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = self._read()
        if not chunk:
            self.finish()
            raise StopIteration
        return chunk

    def pour(self, pipe: int, count: Callable[[int], None]) -> None:
        """Have the kernel move what the program writes into another pipe."""
        assert self._process.stdout is not None
        self._await_news()
        while moved := os.splice(self._process.stdout.fileno(), pipe, PIPE):
            count(moved)
            self._await_news()
        self.finish()

    def finish(self) -> None:
        """Read what is left, wait for the program's end, and raise what went wrong. May run twice."""
        if self._process.stdout is not None and not self._process.stdout.closed:
            while self._read():
                pass
        self._await(lambda: self._process.wait(ASK_EVERY_S))
        if self._feeder is not None:
            self._await(self._joined)
        if self._error is not None:
            raise self._error
        if self._late:
            raise GuestError(f"{self._name} did not end in time.")
        if self._process.returncode != 0:
            raise GuestError(f"{self._name} failed: {self._last_words()}")

    def kill(self) -> None:
        """Kill the program, if it still runs, and let go of everything. May run twice."""
        self._alarm.cancel()
        with contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._feeder is not None:
            # What it reads from may stand still; whoever owns that ends it next.
            self._feeder.join(_FEEDER_ENDS_S)
        for pipe in (self._process.stdin, self._process.stdout, self._words):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read(self) -> bytes:
        """Return what comes next, nothing at the end. A program that says nothing is waited for as long as that is wanted."""
        assert self._process.stdout is not None
        self._await_news()
        return os.read(self._process.stdout.fileno(), CHUNK)

    def _await_news(self) -> None:
        while not self._news.poll(ASK_EVERY_S * 1000):
            liveness.need()

    def _joined(self) -> None:
        assert self._feeder is not None
        self._feeder.join(ASK_EVERY_S)
        if self._feeder.is_alive():
            raise subprocess.TimeoutExpired(self._name, ASK_EVERY_S)

    def _await(self, end: Callable[[], object]) -> None:
        while True:
            try:
                end()
            except subprocess.TimeoutExpired:
                liveness.need()
            else:
                return

    def _feed(self, feed: Iterable[bytes]) -> None:
        assert self._process.stdin is not None
        try:
            pour(feed, self._process.stdin.fileno(), lambda _count: None)
        except BrokenPipeError:
            pass  # It ended; its own words say why.
        except BaseException as error:
            self._error = error
            # An end of the input would look to it like the end of the data.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _give_up(self) -> None:
        self._late = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - _WORDS))
        lines = self._words.read().decode(errors="replace").splitlines()
        # A program that runs out of space often ends with words about all that failed because of it.
        told = [line for line in lines if "No space left" in line][:1] or [line for line in lines if "rror" in line] or lines
        return " ".join(told[-3:]) or f"it ended with {self._process.returncode} without saying why."
