"""PID 1 of a private machine: a throw-away layer over the machine's files, and as much of systemd as Puppet and units ask for.

Started by `machine.py`. Nothing that happens here reaches a file of the machine outside, but those below the shared directory.
"""

import configparser
import ctypes
import json
import os
import pwd
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

UNITS = Path("/etc/systemd/system")
WANTED = UNITS / "multi-user.target.wants"
DOOR = "/run/machine.sock"
PR_SET_NAME = 15
START_TIMEOUT_S = 180

SYSTEMCTL = """#!{python} -IS
import json, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect("{door}")
door.sendall(json.dumps({{"systemctl": sys.argv[1:]}}).encode() + b"\\n")
answer = json.loads(door.makefile().readline())
sys.stdout.write(answer["out"])
sys.exit(answer["code"])
"""


class Unit:
    """A service as its unit file describes it at the time of loading."""

    def __init__(self, name: str) -> None:
        stem, at, self.instance = name.partition("@")
        self.name = name
        self.path = UNITS / f"{stem}{at}.service"
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(self.path.read_text())
        self.mtime = self.path.stat().st_mtime_ns
        self.service = dict(parser["Service"])
        self.process: subprocess.Popen[bytes] | None = None

    def active(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> bool:
        """Start it as its unit says, and wait until it says that it is ready."""
        if self.active():
            return True
        assert self.service["Type"] == "notify", self.service
        owner = pwd.getpwnam(self.service.get("User", "root"))
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": owner.pw_dir, "LANG": "C.UTF-8"}
        if "StateDirectory" in self.service:
            directory = Path("/var/lib") / self.service["StateDirectory"]
            directory.mkdir(exist_ok=True)
            directory.chmod(int(self.service.get("StateDirectoryMode", "0755"), 8))
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        notices = f"/run/notify-{self.name}"
        Path(notices).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears, Path(f"/run/{self.name}.log").open("ab") as log:
            ears.bind(notices)
            Path(notices).chmod(0o777)
            ears.settimeout(0.2)
            self.process = subprocess.Popen(
                self.service["ExecStart"].replace("%i", self.instance).split(),
                cwd="/",
                env=environment | {"NOTIFY_SOCKET": notices},
                user=owner.pw_uid,
                group=owner.pw_gid,
                extra_groups=[],
                umask=int(self.service["UMask"], 8),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            deadline = time.monotonic() + START_TIMEOUT_S
            while time.monotonic() < deadline and self.active():
                try:
                    if b"READY=1" in ears.recv(4096):
                        return True
                except TimeoutError:
                    continue
        self.stop()
        return False

    def stop(self) -> None:
        if self.process is None:
            return
        if self.active():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Manager:
    """The units that were asked for so far."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.lock = threading.Lock()

    def systemctl(self, argv: list[str]) -> tuple[int, str]:
        """Do a command of systemctl; return its exit code and its words."""
        options = [each for each in argv if each.startswith("--") and each != "--"]
        verb, *names = [each for each in argv if not each.startswith("--")]
        if verb == "daemon-reload":
            self._reload()
            return 0, ""
        assert len(names) == 1, argv
        name = names[0].removesuffix(".service")
        link = WANTED / f"{name}.service"
        if verb in ("enable", "disable"):
            WANTED.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            if verb == "enable":
                link.symlink_to(self._unit(name).path)
            return 0, ""
        if verb == "unmask":
            return 0, ""
        if verb == "is-enabled":
            return (0, "enabled\n") if link.is_symlink() else (1, "disabled\n")
        if verb == "is-active":
            active = name in self.units and self.units[name].active()
            return (0, "active\n") if active else (3, "inactive\n")
        if verb == "show":
            assert options == ["--property=NeedDaemonReload"], argv
            unit = self.units.get(name)
            stale = unit is not None and unit.mtime != unit.path.stat().st_mtime_ns
            return 0, f"NeedDaemonReload={'yes' if stale else 'no'}\n"
        if verb in ("start", "stop", "restart"):
            unit = self._unit(name)
            if verb in ("stop", "restart"):
                unit.stop()
            return (0 if verb == "stop" or unit.start() else 1), ""
        raise AssertionError(f"systemctl {argv}")

    def pids(self) -> dict[str, int]:
        return {name: unit.process.pid for name, unit in self.units.items() if unit.process is not None and unit.active()}

    def _unit(self, name: str) -> Unit:
        if name not in self.units:
            self.units[name] = Unit(name)
        return self.units[name]

    def _reload(self) -> None:
        for name, old in self.units.items():
            if old.path.exists():
                self.units[name] = Unit(name)
                self.units[name].process = old.process


class Door(socketserver.StreamRequestHandler):
    """Takes one request: of systemctl, or from outside."""

    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self._answer(request)).encode() + b"\n")

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "systemctl" in request:
            with MANAGER.lock:
                code, out = MANAGER.systemctl(request["systemctl"])
            return {"code": code, "out": out}
        if "pids" in request:
            return MANAGER.pids()
        done = subprocess.run(
            request["run"],
            env=request["environment"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return {"code": done.returncode, "out": done.stdout}


class Doors(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 32


MANAGER = Manager()


def mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


def layer(shared: Path, needed: list[Path]) -> None:
    """Put a layer of memory over all files, and forget the files below it. What is `needed` may lie on other file systems."""
    top = shared / "layer"
    top.mkdir()
    mount("-t", "tmpfs", "-o", "mode=755", "layer", str(top))
    root = top / "root"
    for each in ("up", "work", "root"):
        (top / each).mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={top}/up,workdir={top}/work", "overlay", str(root))
    for path in [shared, *needed]:
        inside = root / path.relative_to("/")
        if path == shared or path.stat().st_dev != Path("/").stat().st_dev:
            inside.mkdir(parents=True, exist_ok=True)
            mount("--bind", str(path), str(inside))
    (root / "tmp").chmod(0o1777)
    mount("--rbind", "/dev", str(root / "dev"))
    mount("-t", "tmpfs", "shm", str(root / "dev/shm"))
    mount("--bind", "/sys", str(root / "sys"))
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "tmpfs", "-o", "mode=755", "run", str(root / "run"))
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "mnt"], check=True)
    os.chroot(".")
    os.chdir("/")
    subprocess.run(["umount", "-l", "/mnt"], check=True)


def main() -> None:
    shared, *needed = map(Path, sys.argv[1:])
    layer(shared, needed)
    # Puppet looks at the name of PID 1 to see whether systemd is there.
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"systemd", 0, 0, 0)
    systemctl = Path("/usr/bin/systemctl")
    systemctl.unlink(missing_ok=True)
    systemctl.write_text(SYSTEMCTL.format(python=sys.executable, door=DOOR))
    systemctl.chmod(0o755)
    server = Doors(DOOR, Door)
    outside = Doors(str(shared / "door.sock"), Door)
    threading.Thread(target=outside.serve_forever, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
