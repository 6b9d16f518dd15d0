"""Local clouds for tests: settings with a stand-in agent, and clouds in other processes, killed or without privileges."""

import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from trove.cloud.contract import ServerSpec
from trove.cloud.local import HostPackages, LocalCloud, LocalCloudSettings
from trove.cloud.local.privileges import Needs, launch_prefix
from trove.cloud.local.processes import wait_until
from trove.core.flavors import Flavor

REPOSITORY = Path(__file__).parents[2]
FAKE_AGENT = REPOSITORY / "tests/conformance/cloud/fake_agent.py"
NOBODY = 65533
"""A user id that no instance and no package uses: who an unprivileged cloud runs as when the tests run as root."""

FLAVOR = Flavor(id="1", name="db.tiny", ram_mib=256, vcpus=1)


def is_root() -> bool:
    return os.geteuid() == 0


def make_settings(root: Path, **changes: Any) -> LocalCloudSettings:
    """Return settings with the stand-in agent and a small address pool of their own."""
    settings = LocalCloudSettings(
        state_dir=root,
        agent_command=(sys.executable, str(FAKE_AGENT)),
        address_pool=f"127.{64 + secrets.randbelow(13)}.{secrets.randbelow(256)}.0/24",
        packages={"fake": HostPackages(programs=("sh",), install="apt-get install dash")},
        restart_delays_s=(0.05, 0.1),
        agent_settled_s=2,
        stop_timeout_s=10,
    )
    return replace(settings, **changes)


def make_spec(instance_id: str, **changes: Any) -> ServerSpec:
    """Return what to boot: the stand-in agent, whose server listens on port 3306."""
    spec = ServerSpec(
        instance_id=instance_id,
        name="one",
        project_id="project",
        image_id=None,
        image_tags=("trove", "host"),
        flavor=FLAVOR,
        manager="fake",
        tcp_ports=(3306,),
        files={"guest_info.conf": b"[DEFAULT]\nguest_id = x\ninstance_rpc_encr_key = SeCrEtKeY1234567\n"},
    )
    return replace(spec, **changes)


def eventually(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Wait until `condition` holds; fail with `what` when it does not."""
    assert wait_until(lambda: bool(condition()), timeout_s), f"never came true: {what}"


@contextmanager
def state_directory(prefix: str = "tc-") -> Iterator[Path]:
    """Make a directory that everybody may pass, and remove it with all that a cloud left in it: mounts too."""
    root = Path(tempfile.mkdtemp(prefix=prefix))
    root.chmod(0o711)
    try:
        yield root
    finally:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in sorted((point for point in points if point.startswith(f"{root}/")), key=len, reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False)
        shutil.rmtree(root)


class CloudProcess:
    """A local cloud in a process of its own. Every verb is handed over; its result or error comes back.

    `uid` runs it as that user; `die_at` makes it kill itself with SIGKILL just before the n-th change (from 0) that it makes to
    the machine after it was asked for something: a file, a directory, a lock, a program started.
    """

    def __init__(self, settings: LocalCloudSettings, *, uid: int | None = None, die_at: int | None = None) -> None:
        prefix = launch_prefix(uid, Needs(read=(Path(sys.prefix), Path(sys.base_prefix), REPOSITORY / "src", REPOSITORY)))
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "PYTHONWARNINGS": "error"}
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.support.clouds"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            cwd=REPOSITORY,
        )
        self._send((replace(settings), die_at))

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._send((verb, args, kwargs))
            assert self._process.stdout is not None
            try:
                good, result = pickle.load(self._process.stdout)
            except EOFError:
                raise ProcessDiedError(self._process.wait()) from None
            if not good:
                raise result
            return result

        return call

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait(timeout=30)

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()


class ProcessDiedError(Exception):
    """The process of a cloud ended in the middle of a verb."""


CHANGES = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.chown", "fcntl.flock", "subprocess.Popen", "os.kill"}
)
"""Names of the interpreter's audit events that count as a change; opening a file for writing counts too."""


def _die_before_change(number: int) -> None:
    count = iter(range(10**9))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        changes = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE)
        if changes and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _serve() -> None:
    settings, die_at = pickle.load(sys.stdin.buffer)
    cloud = LocalCloud(settings)
    if die_at is not None:
        cloud.capabilities()
        _die_before_change(die_at)
    while True:
        try:
            verb, args, kwargs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, getattr(cloud, verb)(*args, **kwargs))
        except Exception as error:
            answer = (False, error)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
