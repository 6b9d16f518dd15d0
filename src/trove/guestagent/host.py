"""The host door: files, programs and the database server of one instance, in a bubblewrap sandbox or without one.

Without one they are plain processes, or, on a machine that is the instance's alone, those of a user of their own. A tenant
waits while this is loaded and a new server started: what that needs not is imported where it is used.
"""

import contextlib
import errno
import json
import logging
import os
import signal as signals
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from trove.core.errors import GuestError
from trove.core.trees import bytes_on_disk
from trove.datastores.contract import Command, Finished, Usage
from trove.guestagent.processes import Identity, find_by_environment, identify, is_alive
from trove.guestagent.roots import PATH, find_program, missing_accounts
from trove.guestagent.sandbox import Bubblewrap, View, read_child_pid
from trove.guestagent.user import ServerUser, make_way, server_user
from trove.guestagent.volume import DataVolume, VolumeSettings

LOG = logging.getLogger(__name__)

MARK = "TROVE_SERVER_OF"
"""Environment variable of every database server, by which one is found whose pid file was never written."""

CLOUD_MARK = "TROVE_INSTANCE"
"""Environment variable that the local cloud gives an agent; its programs inherit it."""

TEMPLATE_COPY = "template"
"""In a new data directory: a copy of the template that the cloud made while the agent was loaded."""

DATABASE_UID = 1001
"""Whom the database server runs as with `sandbox=user`, unless told otherwise; so is the id of its group."""

FULL = "The volume is full: no space is left to write."

_INFO_FD, _BLOCK_FD = 97, 98
_USAGE_VALID_S = 10.0
_DATA_DIR_TIMEOUT_S = 60.0


class SandboxKind(StrEnum):
    """How programs run. AUTO is bubblewrap where it works, else plain processes.

    USER is for an agent that is root on a machine of the instance's own: programs run there as another user.
    """

    AUTO = "auto"
    BWRAP = "bwrap"
    PROCESS = "process"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Where an instance lives.

    `hide` are places that its programs must not see. `volume_bytes` is the size of a volume that is a plain directory, None
    for a mounted one. `agent_dir` is the agent's own, and out of programs' reach too; None is `config_dir/agent`. `namespaces`
    are those that are known to work for bubblewrap; empty to find out. With `await_data_dir` somebody else makes that
    directory. `root_dir` is the image that programs see as their root and come from, None for the host's own; an image needs
    bubblewrap. `uid` and `gid` are whom programs run as with `sandbox=user`. `volume` is what the agent mounts itself, None
    where the data volume is somebody else's business.
    """

    instance_id: str
    address: str
    data_dir: Path
    run_dir: Path
    config_dir: Path
    log_dir: Path
    template_dir: Path | None = None
    sandbox: SandboxKind = SandboxKind.AUTO
    namespaces: tuple[str, ...] = ()
    await_data_dir: bool = False
    hide: tuple[Path, ...] = ()
    volume_bytes: int | None = None
    root_dir: Path | None = None
    agent_dir: Path | None = None
    uid: int | None = None
    gid: int | None = None
    volume: VolumeSettings | None = None

    @property
    def private_dir(self) -> Path:
        """Where the agent keeps what the database server must not read."""
        return self.agent_dir or self.config_dir / "agent"


class SandboxedHost:
    """`trove.datastores.contract.Host` on this machine. Thread-safe, but start the server from one thread at a time."""

    def __init__(self, settings: HostSettings) -> None:
        self.instance_id = settings.instance_id
        self.address = settings.address
        self.data_dir = settings.data_dir
        self.run_dir = settings.run_dir
        self.config_dir = settings.config_dir
        self.log_dir = settings.log_dir
        self.template_dir = settings.template_dir
        self.private_dir = settings.private_dir
        self._settings = settings
        self._record = settings.private_dir / "server.json"
        self._unsynced: set[Path] = set()
        self._child: int | None = None
        self._server: Identity | None = None
        self._known = not self.private_dir.exists()  # where no agent ever was, nobody started a server
        self._measured: tuple[float, Usage] | None = None
        self._user = _user_of(settings)
        self.uid = os.geteuid() if self._user is None else self._user.uid
        self.gid = os.getegid() if self._user is None else self._user.gid
        own = (self.run_dir, self.log_dir, self.private_dir, self.config_dir)
        for folder in own if settings.await_data_dir else (*own, self.data_dir):
            if self._user is not None:
                make_way(folder)
                if folder != self.private_dir:
                    self._user.own(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._bubblewrap = self._choose_sandbox()
        self._wrapper: Bubblewrap | ServerUser | None = self._user or self._bubblewrap

    @property
    def sandboxed(self) -> bool:
        """Tell whether programs run inside bubblewrap."""
        return self._bubblewrap is not None

    def give_up_rights(self) -> None:
        """Touch files with the rights of the server's user from now on, where that is another one.

        In this thread and in those that it starts. What is below `private_dir` is out of reach then, but by way of this host.
        """
        if self._user is not None:
            self._user.take_on()

    def keeps_to_itself(self) -> contextlib.AbstractContextManager[None]:
        """Return what lets the agent reach its own files, in this thread, for as long as it lasts."""
        return contextlib.nullcontext() if self._user is None else self._user.as_root()

    def grow_volume(self, size_bytes: int) -> None:
        """Let the file system fill its volume, which must be at least that large. May run twice. Raises `GuestError`.

        Does nothing where the data volume is somebody else's business.
        """
        if self._settings.volume is not None:
            with self.keeps_to_itself():
                DataVolume(self.instance_id, self._settings.volume).grow(size_bytes)

    def await_data_dir(self) -> None:
        """Return when the data directory is there, whole. Raises `GuestError` when it does not appear within a minute."""
        deadline = time.monotonic() + _DATA_DIR_TIMEOUT_S
        pause_s = 0.002
        while not self.data_dir.is_dir():
            if time.monotonic() > deadline:
                raise GuestError(f"The data volume did not appear within {_DATA_DIR_TIMEOUT_S:.0f} s.")
            time.sleep(pause_s)
            pause_s = min(0.1, pause_s * 1.02)

    def run(self, command: Command) -> Finished:
        """Run a program to its end in the sandbox. Raises `GuestError` when it cannot start or times out."""
        import subprocess  # noqa: PLC0415

        with self._secret_files(command.secret_files) as paths:
            argv = [_fill(word, paths) for word in command.argv]
            env = self._environment(command.env)
            if self._wrapper is not None:
                argv = self._wrapper.wrap(argv, env, die_with_parent=True)
            try:
                process = subprocess.Popen(
                    argv,
                    env=env,
                    cwd="/",
                    stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise GuestError(f"{command.argv[0]} cannot be started: {error.strerror}.") from error
            with process:
                try:
                    stdout, stderr = process.communicate(command.stdin, timeout=command.timeout_s)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signals.SIGKILL)
                    raise GuestError(f"{command.argv[0]} did not end within {command.timeout_s:.0f} s.") from None
        return Finished(returncode=process.returncode, stdout=stdout, stderr=stderr)

    @contextlib.contextmanager
    def stream(self, command: Command, feed: Iterable[bytes] | None = None) -> Iterator[Iterator[bytes]]:
        """Run a program in the sandbox and yield what it writes, while `feed` is written to it."""
        from trove.guestagent.streams import Stream  # noqa: PLC0415

        with self._secret_files(command.secret_files) as paths:
            argv = [_fill(word, paths) for word in command.argv]
            env = self._environment(command.env)
            if self._wrapper is not None:
                argv = self._wrapper.wrap(argv, env, die_with_parent=True)
            stream = Stream(command.argv[0], argv, env, feed, timeout_s=command.timeout_s)
            try:
                yield stream
                stream.finish()
            finally:
                stream.kill()

    def start_server(self, command: Command) -> None:
        """Start the database server in the sandbox, detached so that it outlives the agent. One at a time."""
        if self.server_pid() is not None:
            return
        env = {**self._environment(command.env), MARK: self.instance_id}
        output = self.log_dir / "server.out"
        try:
            if self._bubblewrap is None:
                line = list(command.argv) if self._user is None else self._user.wrap(command.argv, env)
                self._child = _spawn(line, env, output, [])
                self._remember(self._child)
            else:
                self._start_sandboxed(self._bubblewrap, list(command.argv), env, output)
        except OSError as error:
            raise GuestError(f"{command.argv[0]} cannot be started: {error.strerror}.") from error

    def server_pid(self) -> int | None:
        """Return the pid of the running database server (as this machine numbers it), None when it does not run."""
        self._reap()
        if not self._known:
            self._server = self._recorded() or find_by_environment(f"{MARK}={self.instance_id}", uid=self.uid)
            self._known = True
        if self._server is not None and not is_alive(self._server):
            self._server = None
        return None if self._server is None else self._server.pid

    def signal_server(self, signal: int) -> None:
        """Send a signal to the database server; does nothing when it does not run."""
        pid = self.server_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal)

    def read_file(self, path: Path) -> bytes | None:
        """Return the content of a file, None when it is missing."""
        try:
            with self._reaching(path):
                return path.read_bytes()
        except FileNotFoundError:
            return None

    def write_file(self, path: Path, content: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
        """Write a file whole or not at all (temporary file, fsync, rename). Raises `GuestError` when the volume is full.

        Without `lasting` it is faster, and sure to outlive a power cut only after `sync_tree`.
        """
        with self._reaching(path):
            self._write(path, content, mode, lasting=lasting)

    def _write(self, path: Path, content: bytes, mode: int, *, lasting: bool) -> None:
        fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(handle, mode)
                if lasting:
                    os.fsync(handle)
            fresh.rename(path)
            if lasting:
                _sync(path.parent)
            else:
                self._unsynced.add(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise _file_error(path, error) from error

    def make_dir(self, path: Path) -> None:
        """Make a directory, with those above it, for the server's user alone (0700). One that is there is fine."""
        try:
            with self._reaching(path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _file_error(path, error) from error

    def files_in(self, folder: Path, pattern: str) -> tuple[Path, ...]:
        """Return what a directory holds by names that match a pattern, in order; nothing when it is missing."""
        with self._reaching(folder):
            return tuple(sorted(folder.glob(pattern)))

    def remove_file(self, path: Path) -> None:
        """Remove a file. Missing is fine."""
        with self._reaching(path):
            path.unlink(missing_ok=True)

    def move(self, source: Path, target: Path) -> None:
        """Rename a file or directory within one file system, in one step. `sync_tree` puts that on disk, too."""
        try:
            source.rename(target)
        except OSError as error:
            raise _file_error(target, error) from error

    def copy_tree(self, source: Path, target: Path) -> None:
        """Copy a directory with its modes as fast as the file system can; `target` must not exist.

        The copy of the template that the cloud made is taken where it is there.
        """
        if target.exists():
            raise GuestError(f"{target} is there already.")
        made = self.data_dir / TEMPLATE_COPY
        if source == self.template_dir and made.is_dir():
            self.move(made, target)
            return
        how = ("--recursive", "--no-dereference", "--preserve=mode", "--reflink=auto", "--sparse=always")
        self._tool("cp", *how, str(source), str(target))

    def sync_tree(self, path: Path) -> None:
        """Return when all that was written to the file system of `path`, and each file written here, is on its disk."""
        while self._unsynced:
            file = self._unsynced.pop()
            with contextlib.suppress(FileNotFoundError), self._reaching(file):
                _sync(file)
                _sync(file.parent)
        self._tool("sync", "--file-system", str(path))

    def remove_tree(self, path: Path) -> None:
        """Remove a directory below the data volume with all it holds. Missing is fine."""
        if self.data_dir not in path.parents:
            raise GuestError(f"{path} is not below the data volume.")
        if not path.exists():
            return
        import shutil  # noqa: PLC0415

        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    def usage(self) -> Usage:
        """Return the space on the data volume. A directory that stands for a volume is counted at most every few seconds."""
        total = self._settings.volume_bytes
        if total is None:
            space = os.statvfs(self.data_dir)
            free = space.f_bavail * space.f_frsize
            return Usage(used=(space.f_blocks - space.f_bfree) * space.f_frsize, total=self._counted_total(space, free))
        now = time.monotonic()
        if self._measured is None or now - self._measured[0] > _USAGE_VALID_S:
            self._measured = (now, Usage(used=bytes_on_disk(self.data_dir), total=total))
        return self._measured[1]

    def find_program(self, *names: str) -> str | None:
        """Return the path of the first of these programs that the sandbox has, or None. A name with `/` in front is a path."""
        return find_program(self._settings.root_dir, names)

    @staticmethod
    def _counted_total(space: os.statvfs_result, free: int) -> int:
        """Leave out what the file system keeps for root, so that a full volume shows as full."""
        return (space.f_blocks - space.f_bfree) * space.f_frsize + free

    def _reaching(self, path: Path) -> contextlib.AbstractContextManager[None]:
        own = path == self.private_dir or self.private_dir in path.parents
        return self.keeps_to_itself() if own else contextlib.nullcontext()

    def _choose_sandbox(self) -> Bubblewrap | None:
        settings = self._settings
        image = settings.root_dir
        if image is not None:
            _check_image(image, settings.sandbox)
        if settings.sandbox in {SandboxKind.PROCESS, SandboxKind.USER}:
            return None
        program = find_program(None, ["bwrap"])
        must = settings.sandbox is SandboxKind.BWRAP or image is not None
        if program is None and must:
            raise GuestError("bwrap is not installed: apt-get install bubblewrap, or set sandbox=process and use no image.")
        if program is None:
            LOG.warning("bubblewrap is not installed: database programs run without a sandbox")
            return None
        made = Bubblewrap(program, self._view(), known=settings.namespaces)
        if not must and not made.works():
            LOG.warning("bubblewrap cannot make a sandbox here: database programs run without one")
            return None
        return made

    def _view(self) -> View:
        settings = self._settings
        template = settings.template_dir
        apart = template is not None and settings.data_dir not in template.parents
        return View(
            writable=(settings.data_dir, settings.run_dir, settings.log_dir),
            readable=(settings.config_dir, template) if template is not None and apart else (settings.config_dir,),
            hidden=(*settings.hide, settings.private_dir),
            root=settings.root_dir,
            replaced=self._accounts(),
        )

    def _accounts(self) -> Mapping[Path, Path]:
        """Write the lists of accounts that show this user where the root does not have it; return what they stand for."""
        made = {}
        for path, text in missing_accounts(self._settings.root_dir, self.data_dir).items():
            made[path] = self.private_dir / path.name
            if self.read_file(made[path]) != text.encode():
                self.write_file(made[path], text.encode(), lasting=False)
                self._unsynced.discard(made[path])  # made anew at the next start anyway
        return made

    def _start_sandboxed(self, bubblewrap: Bubblewrap, argv: list[str], env: Mapping[str, str], output: Path) -> None:
        """Start bubblewrap, learn the server's pid while it still waits, write it down, then let it go."""
        line = bubblewrap.wrap(argv, env, fds=f"{_INFO_FD},{_BLOCK_FD}")
        info_read, info_write = os.pipe()
        block_read, block_write = os.pipe()
        try:
            self._child = _spawn(line, {"PATH": PATH}, output, [(info_write, _INFO_FD), (block_read, _BLOCK_FD)])
            os.close(info_write)
            info_write = -1
            with os.fdopen(info_read, "rb") as info:
                info_read = -1
                try:
                    pid = read_child_pid(info)
                except GuestError:
                    bubblewrap.distrust()
                    raise
            self._remember(pid)
            os.write(block_write, b"1")
        finally:
            for descriptor in (info_read, info_write, block_read, block_write):
                if descriptor != -1:
                    os.close(descriptor)

    def _remember(self, pid: int) -> None:
        self._server = identify(pid)
        self._known = True
        if self._server is None:
            self.remove_file(self._record)
            return
        self.write_file(self._record, json.dumps(asdict(self._server)).encode(), lasting=False)  # void after a reboot

    def _recorded(self) -> Identity | None:
        content = self.read_file(self._record)
        try:
            identity = Identity(**json.loads(content)) if content else None
        except (ValueError, TypeError):
            return None
        return identity if identity is not None and is_alive(identity) else None

    def _reap(self) -> None:
        if self._child is None:
            return
        try:
            ended, _ = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            ended = self._child
        if ended:
            self._child = None

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.data_dir), **_cloud_mark(), **extra}

    @contextlib.contextmanager
    def _secret_files(self, contents: Mapping[str, bytes]) -> Iterator[Mapping[str, str]]:
        if not contents:
            yield {}
            return
        import shutil  # noqa: PLC0415

        folder = self.run_dir / f"secret-{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        try:
            paths = {}
            for name, content in contents.items():
                self.write_file(folder / name, content, lasting=False)
                paths[name] = str(folder / name)
            yield paths
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _tool(self, *argv: str) -> None:
        """Run one of the agent's own tools, which handle no input of tenants, outside the sandbox."""
        import subprocess  # noqa: PLC0415

        env = {"PATH": PATH, "LC_ALL": "C", **_cloud_mark()}
        line = list(argv) if self._user is None else self._user.wrap(argv, env)
        finished = subprocess.run(line, check=False, capture_output=True, cwd="/", env=env)
        if finished.returncode:
            words = finished.stderr.decode(errors="replace").strip().splitlines()
            if any(os.strerror(errno.ENOSPC) in line for line in words):
                raise GuestError(FULL)
            raise GuestError(f"{argv[0]} failed: {words[0] if words else finished.returncode}")


def _check_image(root: Path, sandbox: SandboxKind) -> None:
    if not root.is_dir():
        raise GuestError(f"The image {root.parent.name} is not there: {root}.")
    if sandbox in {SandboxKind.PROCESS, SandboxKind.USER}:
        raise GuestError(f"The image {root.parent.name} needs bubblewrap: set sandbox=bwrap, or use no image.")


def _user_of(settings: HostSettings) -> ServerUser | None:
    if settings.sandbox is not SandboxKind.USER:
        return None
    uid = DATABASE_UID if settings.uid is None else settings.uid
    return server_user(uid, uid if settings.gid is None else settings.gid)


def _cloud_mark() -> dict[str, str]:
    """Return the mark by which a cloud knows the processes of this agent, so that none is taken for another cloud's."""
    mark = os.environ.get(CLOUD_MARK)
    return {} if mark is None else {CLOUD_MARK: mark}


def _spawn(argv: list[str], env: Mapping[str, str], output: Path, descriptors: list[tuple[int, int]]) -> int:
    """Start a program in a session of its own, its output appended to a file; return its pid. It outlives this process."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        *((os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in descriptors),
    ]
    defaults = [signals.SIGPIPE, signals.SIGINT, signals.SIGHUP, signals.SIGTERM]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True, setsigdef=defaults, setsigmask=[])


def _fill(word: str, paths: Mapping[str, str]) -> str:
    for name, path in paths.items():
        word = word.replace("{" + name + "}", path)
    return word


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _file_error(path: Path, error: OSError) -> GuestError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return GuestError(FULL)
    return GuestError(f"{path.name} cannot be written: {error.strerror}.")
