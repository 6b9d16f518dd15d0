"""Uses a host whose server is another user, as an agent that is root does: started as `python host_of_a_user.py DIRECTORY`."""

import json
import os
import sys
from pathlib import Path

from trove.core.errors import GuestError
from trove.datastores.contract import Command
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind

USER = 65_534


def main(root: Path) -> None:
    """Print what came of it, as JSON."""
    settings = HostSettings(
        instance_id="i",
        address="127.0.0.1",
        data_dir=root / "data",
        run_dir=root / "run",
        config_dir=root / "config",
        log_dir=root / "log",
        agent_dir=root / "agent",
        sandbox=SandboxKind.USER,
        uid=USER,
    )
    host = SandboxedHost(settings)
    host.give_up_rights()
    secret = host.private_dir / "secret"
    host.write_file(secret, b"secret")
    told = {"uid": host.run(Command(argv=("id", "-u"))).stdout.decode().strip()}
    content = os.urandom(3_000_000)
    with host.stream(Command(argv=("cat",)), feed=[content]) as output:
        told["streamed"] = str(b"".join(output) == content)
    told["hung"] = _error(lambda: host.run(Command(argv=("/bin/sh", "-c", "sleep 600; true"), timeout_s=0.5)))
    # A server that was conquered leaves links where the agent reads and writes.
    (host.log_dir / "error.log").symlink_to(secret)
    told["read"] = _error(lambda: host.read_file(host.log_dir / "error.log"))
    (host.log_dir / "server.out").symlink_to(root / "of-root")
    told["appended"] = _error(lambda: host.start_server(Command(argv=("/bin/echo", "owned"))))
    host.write_file(host.data_dir / "ours", b"x")
    told["owner"] = str((host.data_dir / "ours").stat().st_uid)
    told["own"] = (host.read_file(secret) or b"").decode()
    print(json.dumps(told))


def _error(deed: object) -> str:
    try:
        deed()  # type: ignore[operator]
    except (GuestError, OSError) as error:
        return str(error)
    return "done"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
