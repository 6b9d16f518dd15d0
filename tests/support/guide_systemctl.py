"""A stand-in for systemctl where no systemd runs: starts what a unit file says, as its user, and waits for its READY=1.

It knows `daemon-reload`, `enable --now`, `start`, `stop`, `disable --now` and `is-active`. Of a unit it heeds User, ExecStart,
StateDirectory, UMask and TimeoutStartSec; what shuts a service in is not applied.
"""

import configparser
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = Path("/etc/systemd/system")
RUN = Path("/run/guide-systemctl")
LOGS = Path("/var/log/guide")
STOP_S = 60.0


def main(words: list[str]) -> int:
    """Do what is asked; return the exit code."""
    verb, names = words[0], [word for word in words[1:] if not word.startswith("-")]
    RUN.mkdir(exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    if verb == "daemon-reload":
        return 0
    if verb in {"start", "enable"}:
        return max(start(name.removesuffix(".service")) for name in names)
    if verb in {"stop", "disable"}:
        return max(stop(name.removesuffix(".service")) for name in names)
    if verb == "is-active":
        found = [pid_of(name) is not None for name in names]
        print("\n".join("active" if each else "inactive" for each in found))
        return 0 if all(found) else 3
    print(f"unknown verb {verb}", file=sys.stderr)
    return 1


def start(name: str) -> int:
    """Start a service; wait until it says that it is ready."""
    base, _, instance = name.partition("@")
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / (f"{base}@.service" if instance else f"{base}.service"))
    unit = parser["Service"]
    place = RUN / f"{name}.notify"
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        place.chmod(0o666)
        user = unit["User"]
        subprocess.run(["install", "-d", "-o", user, "-g", user, "-m", "700", f"/var/lib/{unit['StateDirectory']}"], check=True)
        # The right to read everything: this machine's Python may be in a place that is closed to the user.
        rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *rights, *unit["ExecStart"].split()]
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "NOTIFY_SOCKET": str(place), "PYTHONWARNINGS": "ignore"}
        with (LOGS / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (RUN / f"{name}.pid").write_text(str(child.pid))
        return 0 if _ready(told, child, float(unit["TimeoutStartSec"])) else _complain(name)


def _ready(told: socket.socket, child: "subprocess.Popen[bytes]", patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    told.settimeout(0.5)
    while child.poll() is None and time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            words = told.recv(65536).decode().splitlines()
            if "READY=1" in words:
                return True
            if any(word.startswith("EXTEND_TIMEOUT_USEC=") for word in words):
                until = time.monotonic() + patience_s
    return False


def _complain(name: str) -> int:
    print(f"{name} did not become ready:\n{(LOGS / f'{name}.log').read_text()[-3000:]}", file=sys.stderr)
    return 1


def stop(name: str) -> int:
    """End a service in good order; kill it when that takes too long."""
    pid = pid_of(name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while pid_of(name) is not None and time.monotonic() < until:
            time.sleep(0.1)
        if pid_of(name) is not None:
            os.killpg(pid, signal.SIGKILL)
            print(f"{name} had to be killed", file=sys.stderr)
            return 1
    return 0


def pid_of(name: str) -> int | None:
    """Return the process of a service that runs."""
    try:
        pid = int((RUN / f"{name.removesuffix('.service')}.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else pid


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
