"""A program that is read from, and written to, while it runs: its data are never whole in memory or on disk."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from trove.core.errors import GuestError

CHUNK = 256 * 1024
_WORDS = 2000
_FEEDER_ENDS_S = 5.0


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
        self._alarm = threading.Timer(timeout_s, self._give_up)
        self._alarm.daemon = True
        self._alarm.start()
        self._feeder = None if feed is None else threading.Thread(target=self._feed, args=(feed,), daemon=True)
        if self._feeder is not None:
            self._feeder.start()

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        while chunk := os.read(self._process.stdout.fileno(), CHUNK):
            yield chunk
        self.finish()

    def finish(self) -> None:
        """Read what is left, wait for the program's end, and raise what went wrong. May run twice."""
        if self._process.stdout is not None and not self._process.stdout.closed:
            while os.read(self._process.stdout.fileno(), CHUNK):
                pass
        self._process.wait()
        if self._feeder is not None:
            self._feeder.join()
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

    def _feed(self, feed: Iterable[bytes]) -> None:
        assert self._process.stdin is not None
        try:
            for chunk in feed:
                self._process.stdin.write(chunk)
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
        told = [line for line in lines if "rror" in line] or lines
        return " ".join(told[-3:]) or f"it ended with {self._process.returncode} without saying why."
