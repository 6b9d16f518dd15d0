"""A stand-in for the guest agent, for the mechanics of processes: it reads host.conf and starts one "database server".

The server is a sleeping program in a session of its own, with the marker that the real agent gives to real ones; it notes a
clean end. The file `die` in the agent's config directory, or `FAKE_DIE` in guest_info.conf, makes the agent fail at once.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from configparser import ConfigParser
from pathlib import Path

SERVER = """
import pathlib, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
data, address, port = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(data / "starts").open("a").write("x")
listener = socket.create_server((address, port))
(data / "listening").touch()
try:
    while True:
        signal.pause()
finally:
    (data / "clean").open("a").write("x")
"""


def main() -> None:
    words = sys.argv[1:]
    if "--make-template" in words:
        target = Path(words[words.index("--make-template") + 1])
        target.mkdir()
        (target / "made-by").write_text(str(os.geteuid()))
        return
    config_dir = Path(words[words.index("--config-dir") + 1])
    parser = ConfigParser(interpolation=None)
    parser.read([config_dir / "guest_info.conf", config_dir / "host.conf"])
    if parser.get("DEFAULT", "fake_die", fallback=""):
        print("secret", parser.get("DEFAULT", "instance_rpc_encr_key", fallback=""))
        print("cannot go on: told to die", file=sys.stderr)
        sys.exit(3)
    host = parser["host"]
    data = Path(host["data_dir"])
    while not data.is_dir():  # the cloud makes it while the agent starts
        time.sleep(0.002)
    (data / "agents").open("a").write(f"{os.getpid()} {os.geteuid()}\n")
    if host.get("template_dir"):
        (data / "template-maker").write_text((Path(host["template_dir"]) / "made-by").read_text())
    state = Path(host["config_dir"]) / "pid"
    if not alive(state):
        argv = [sys.executable, "-c", SERVER, str(data), host["address"], parser.get("DEFAULT", "port", fallback="3306")]
        if host["sandbox"] == "bwrap":
            # As the real agent does, only what it needs: volumes of others come and go.
            shown = {sys.prefix, sys.base_prefix, "/bin", "/etc", "/lib", "/lib64", "/usr"}
            view = [word for place in sorted(shown) for word in ("--ro-bind-try", place, place)]
            view += ["--dev", "/dev", "--proc", "/proc", "--bind", str(data), str(data)]
            argv = ["bwrap", *view, "--unshare-user", "--unshare-pid", *argv]
        env = {"PATH": os.environ["PATH"], "TROVE_SERVER_OF": config_dir.parent.name}
        server = subprocess.Popen(argv, env=env, start_new_session=True, stdin=subprocess.DEVNULL)
        state.write_text(str(server.pid))
        threading.Thread(target=server.wait, daemon=True).start()
    (data / "agent-up").touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def alive(state: Path) -> bool:
    try:
        text = Path(f"/proc/{state.read_text()}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


main()
