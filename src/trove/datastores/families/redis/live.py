"""Tries a configuration on a server without data, and gives the running one what of it can be set while it runs."""

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from trove.core.errors import GuestError, Unavailable
from trove.datastores.contract import Command, Host
from trove.datastores.families.redis import resp
from trove.datastores.families.redis.options import option

_READY = b"eady to accept connections"
_TIMEOUT_S = 60.0
_AT_START = ("can't set immutable config", "can't set protected config")
_NAMED = re.compile("related to argument '([^']+)'")


def try_config(host: Host, program: str, config: str) -> Mapping[str, str]:
    """Start a server without data and without a port with a configuration; return all parameters as it has them then.

    The running server is not touched. Raises `GuestError` with the server's words when it does not start.
    """
    scratch, candidate, socket = host.data_dir / "data.trial", host.config_dir / "trial.conf", host.run_dir / "trial.sock"
    own = (
        ("daemonize", "no"),
        ("port", "0"),
        ("unixsocket", str(socket)),
        ("unixsocketperm", "700"),
        ("dir", str(scratch)),
        ("logfile", ""),
        ("loglevel", "notice"),
        ("appendonly", "no"),
        ("save", ""),
    )
    _end_forgotten(socket)
    host.make_dir(scratch)
    text = "".join(("".join(f"{line}\n" for line in config.splitlines()), *(f"{option(*each)}\n" for each in own)))
    host.write_file(candidate, text.encode(), lasting=False)
    try:
        command = Command(argv=(program, str(candidate)), timeout_s=_TIMEOUT_S)
        with _started(host, command, socket) as server:
            return server.config()
    finally:
        for path in (candidate, socket):
            path.unlink(missing_ok=True)
        host.remove_tree(scratch)


def set_options(server: resp.Session, wanted: Mapping[str, str], names: Collection[str], at_restart: Collection[str]) -> bool:
    """Set these parameters to what is wanted, all or nothing; return whether some of them waits for the next start.

    Raises `GuestError` with the server's words when it refuses one.
    """
    now = server.config()
    differ = {name: wanted[name] for name in sorted(names) if name in wanted and now.get(name) != wanted[name]}
    later = {name for name in differ if name in at_restart}
    while chosen := {name: value for name, value in differ.items() if name not in later}:
        try:
            server.run("CONFIG", "SET", *(word for pair in chosen.items() for word in pair))
            break
        except resp.ReplyError as error:
            named = _NAMED.search(error.message)
            if named is None or named[1] not in chosen or not any(words in error.message for words in _AT_START):
                told = error.message.partition(" - ")[2] or error.message
                raise GuestError(f"The database server refuses {named[1] if named else 'the configuration'}: {told}") from None
            later.add(named[1])
    return bool(later)


def _end_forgotten(socket: Path) -> None:
    """End a server that an agent left behind which was killed while it tried a configuration."""
    with contextlib.suppress(GuestError, Unavailable), resp.session(resp.Endpoint(path=socket), timeout_s=1.0) as server:
        server.run("SHUTDOWN", "NOSAVE")


@contextlib.contextmanager
def _started(host: Host, command: Command, socket: Path) -> Iterator[resp.Session]:
    """Run a server until the end of the block. Raises `GuestError` with its words when it ends before it is ready."""
    said = b""
    try:
        with host.stream(command) as chunks:
            for chunk in chunks:
                said += chunk
                if _READY in said:
                    break
            with resp.session(resp.Endpoint(path=socket)) as server:
                yield server
                with contextlib.suppress(Unavailable):
                    server.run("SHUTDOWN", "NOSAVE")
    except (GuestError, Unavailable) as error:
        raise GuestError(f"The database server refuses this configuration: {error.message}") from error
