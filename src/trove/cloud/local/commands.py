"""Running the machine's own tools, with their words in the error."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from trove.core.errors import CloudError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(*names: str) -> str | None:
    """Return the path of the first of these programs that the machine has, or None."""
    for name in names:
        found = shutil.which(name, path=SEARCH_PATH)
        if found is not None:
            return found
    return None


def need_program(name: str, package: str) -> str:
    """Return a program's path; raises `CloudError` naming the Debian package when it is missing."""
    found = find_program(name)
    if found is None:
        raise CloudError(f"The program {name} is missing; install it with: apt-get install {package}")
    return found


def run(argv: Sequence[str], *, timeout_s: float = 30.0, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a program to its end and return its exit code and its output (both streams).

    After `timeout_s` it is killed with its whole session and the code is 124; a program that cannot start gives 127.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", **(environ or {})},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return 127, f"{argv[0]}: {error.strerror}"
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return 124, output.decode(errors="replace") + f"\n{argv[0]}: did not end within {timeout_s:g} s"
    return process.returncode, output.decode(errors="replace")


def must(argv: Sequence[str], what: str, *, timeout_s: float = 30.0, environ: Mapping[str, str] | None = None) -> str:
    """Run a program and return its output; raises `CloudError` with `what` and the program's own words when it fails."""
    code, output = run(argv, timeout_s=timeout_s, environ=environ)
    if code != 0:
        raise CloudError(f"Cannot {what}: {output.strip()[-400:] or f'exit code {code}'}")
    return output
