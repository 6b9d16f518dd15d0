"""The supervisor of one agent: a small shell loop in a session of its own, which outlives the control plane.

It holds the lock file of its server for as long as it lives, so the lock tells whether it lives, and there is never a second
one. Everything it writes lies in the instance's own directories and is believed only after a check against /proc.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trove.cloud.local.commands import SEARCH_PATH, need_program
from trove.cloud.local.locking import is_locked
from trove.cloud.local.processes import MARKER, Process, ProcessSet, wait_until
from trove.cloud.local.records import read_untrusted
from trove.core.errors import CloudError

START_TIMEOUT_S = 20.0

ASK_AGAIN_S = 1.0

LOG_NAME = "guestagent.log"

_LAUNCH = r"""
exec </dev/null >/dev/null 2>"$0"
[ -z "$1" ] || echo $$ >"$1" || exit 1
shift
exec "$@"
"""

# Between its own start and that of the agent it starts no program: a tenant waits for it.
_LOOP = r"""
state=$1 log=$2 stop=$3 settled=$4 delays=$5
shift 5
umask 077
cd "$state" || exit 1
agent= failures=0 old=
[ ! -s "$log" ] || old=yes
exec </dev/null >>"$log" 2>&1
trap '[ -z "$agent" ] || kill -TERM "$agent" 2>/dev/null' TERM
trap '' HUP INT
while [ ! -e "$stop" ]; do
    if [ -n "$old" ] && [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -gt 10000000 ]; then
        mv -f "$log" "$log.1"
        exec >>"$log" 2>&1
    fi
    old=yes
    read -r began _ </proc/uptime
    "$@" 3>&- &
    agent=$!
    while :; do
        wait "$agent"
        code=$?
        kill -0 "$agent" 2>/dev/null || break
    done
    agent=
    read -r ended _ </proc/uptime
    if [ $((${ended%.*} - ${began%.*})) -ge "$settled" ]; then failures=0; fi
    failures=$((failures + 1))
    echo "$code $failures" >exit.new && mv -f exit.new exit
    [ ! -e "$stop" ] || break
    pause=30 seen=0
    for one in $delays; do
        pause=$one seen=$((seen + 1))
        [ "$seen" -lt "$failures" ] || break
    done
    echo "trove-supervisor: the agent ended with code $code; it is started again in $pause s"
    sleep "$pause" 3>&- &
    wait $!
done
"""

REPEATED_FAILURES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorFiles:
    """Where a supervisor keeps what. `lock` and `stop` are the caller's; `state` and `log` the instance's."""

    lock: Path
    stop: Path
    state: Path
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How the agent ended last. `times` counts the ends in a row that came soon after the start."""

    code: int
    times: int


class Supervisor:
    """The supervisor of one instance's agent, with the processes it looks after."""

    def __init__(self, files: SupervisorFiles, processes: ProcessSet, config_dir: Path) -> None:
        self._files = files
        self._processes = processes
        self._config_dir = str(config_dir)

    def alive(self) -> bool:
        """Tell whether it runs."""
        return is_locked(self._files.lock)

    @contextmanager
    def starting(
        self,
        prefix: Sequence[str],
        command: Sequence[str],
        *,
        group: Path | None,
        settled_s: int,
        delays_s: Sequence[float],
    ) -> Iterator[None]:
        """Start it with the agent `command` on entering, and make sure on leaving that it holds its lock. It must not run.

        `prefix` puts it into its sandbox and user; `group` is the file by which it enters its control group. Raises
        `CloudError` with its last words when it cannot start.
        """
        files = self._files
        complaints = files.state.parent / "launch.err"
        setsid = need_program("setsid", "util-linux")
        flock = need_program("flock", "util-linux")
        launch = [setsid, "--fork", "/bin/sh", "-c", _LAUNCH, str(complaints), "" if group is None else str(group)]
        hold = [flock, "--no-fork", "--timeout", "5", str(files.lock)]
        loop = ["/bin/sh", "-c", _LOOP, "trove-supervisor", str(files.state), str(files.log), str(files.stop)]
        delays = " ".join(f"{delay:g}" for delay in delays_s)
        environ = {MARKER: str(files.state.parent), "HOME": str(files.state), "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "1"}
        process = subprocess.Popen(
            [*launch, *prefix, *hold, *loop, str(settled_s), delays, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", **environ},
            cwd="/",
        )
        started, code = False, 0
        with process:
            try:
                yield
            finally:
                # Also when the block failed: only what has come so far can be found and ended.
                code = process.wait()
                started = code == 0 and wait_until(self.alive, START_TIMEOUT_S)
        if not started:
            words = read_untrusted(complaints, tail=400).strip()
            raise CloudError(f"The agent's supervisor cannot start: {words or f'exit code {code}'}")

    def failure(self) -> Failure | None:
        """Return how the agent ended last, None when it never did."""
        words = read_untrusted(self._files.state / "exit", tail=64).split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            return None
        return Failure(code=int(words[0]), times=int(words[1]))

    def forget_failure(self) -> None:
        """Forget how the agent ended, because it is started anew on purpose."""
        (self._files.state / "exit").unlink(missing_ok=True)

    def agent_age_s(self) -> float:
        """Return for how many seconds the agent has lived; 0 when it does not run."""
        pid = self.agent_pid()
        agent = next((process for process in self.agent_side() if process.pid == pid), None)
        return 0.0 if agent is None else agent.age_s()

    def restart_agent(self) -> None:
        """Ask the agent to end, so that the loop starts it again with what it is told now; the database server stays."""
        pid = self.agent_pid()
        self._processes.signal((process for process in self.agent_side() if process.pid == pid), signal.SIGTERM)

    def agent_side(self) -> tuple[Process, ...]:
        """Return the supervisor, the agent and the agent's short-lived commands: what shares a session with the agent."""
        return self._split(self._processes.members())[0]

    def server_side(self) -> tuple[Process, ...]:
        """Return the database server with what wraps it: what has a session of its own."""
        return self._split(self._processes.members())[1]

    def agent_pid(self) -> int | None:
        """Return the pid of the running agent, or None."""
        side = [process for process in self.agent_side() if self._speaks_of_us(process)]
        agents = [process for process in side if not process.is_wrapper and "trove-supervisor" not in process.argv]
        return agents[0].pid if agents else None

    def server_pid(self) -> int | None:
        """Return the pid of the database server, or None."""
        return next((process.pid for process in self.server_side() if process.is_database_server), None)

    def stop_agent(self, *, timeout_s: float) -> None:
        """End supervisor and agent, politely first; the database server stays. The `stop` file must be there. May run twice."""
        if not self._ask(self.agent_side, timeout_s):
            self.kill_agent(timeout_s=timeout_s)

    def kill_agent(self, *, timeout_s: float) -> None:
        """End supervisor and agent at once; the database server stays. May run twice."""

        def forced() -> bool:
            side = self.agent_side()
            self._processes.signal(side, signal.SIGKILL)
            return not side

        wait_until(forced, timeout_s)

    def stop_server(self, *, timeout_s: float) -> None:
        """Ask the database server to end cleanly, and wait up to `timeout_s` seconds. Kills nothing. May run twice."""
        self._ask(self.server_side, timeout_s)

    def _ask(self, side: Callable[[], Sequence[Process]], timeout_s: float) -> bool:
        """Send SIGTERM until a side is gone; tell whether it went in time.

        Again each second: one may have come too early, before the program was started or had its handler.
        """
        asked: dict[Process, float] = {}

        def gone() -> bool:
            left = side()
            now = time.monotonic()
            due = [one for one in left if not one.is_wrapper and now - asked.get(one, -ASK_AGAIN_S) >= ASK_AGAIN_S]
            self._processes.signal(due, signal.SIGTERM)
            asked.update(dict.fromkeys(due, now))
            return not left

        return wait_until(gone, timeout_s)

    def _split(self, members: Sequence[Process]) -> tuple[tuple[Process, ...], tuple[Process, ...]]:
        sessions = {process.session for process in members if not process.is_wrapper and self._speaks_of_us(process)}
        agents = tuple(process for process in members if process.session in sessions)
        return agents, tuple(process for process in members if process.session not in sessions)

    def _speaks_of_us(self, process: Process) -> bool:
        return self._config_dir in process.argv
