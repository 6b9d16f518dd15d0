"""Runs the real command line clients, each time in a fork that has them loaded already: loading takes longer than all else.

A line of JSON `{"program", "words", "environ", "cwd"}` comes in, a line `{"status", "stdout", "stderr"}` goes out. `program` is
the name of a console script; its function is called as the script would, with its words and its environment.
"""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from typing import Any

PROGRAMS = ("openstack", "trove")
PLUGINS = ("openstack.cli.base", "openstack.cli.extension", "openstack.database.v1")
HELP = ["openstack", "database", "flavor", "list", "--help"]


def load() -> dict[str, Callable[[], Any]]:
    """Import the clients and what they would import; return the functions of the console scripts."""
    for group in PLUGINS:
        for plugin in entry_points(group=group):
            plugin.load()
    programs = {script.name: script.load() for script in entry_points(group="console_scripts") if script.name in PROGRAMS}
    sys.argv = HELP  # Reads the lists of plugins, which all forks then have.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        called(programs["openstack"])
    return programs


def run(main: Callable[[], Any], program: str, words: list[str], environ: dict[str, str], cwd: str) -> dict[str, Any]:
    """Run a console script in a fork of this process."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if not pid:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(environ)
            os.chdir(cwd)
            sys.argv = [program, *words]
            os._exit(called(main))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"status": status, "stdout": out.read(), "stderr": err.read()}


def called(main: Callable[[], Any]) -> int:
    """Call a script's function; return the exit code it would have had."""
    try:
        sys.exit(main())
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def main() -> None:
    """Answer line after line until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Nothing but answers may stand there.
    programs = load()
    for line in sys.stdin:
        wanted = json.loads(line)
        answers.write(json.dumps(run(programs[wanted["program"]], **wanted)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
