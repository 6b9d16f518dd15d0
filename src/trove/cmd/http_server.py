"""Serves the API over HTTP: Granian's embedded server in an event loop of the main thread, behind the gateway's bounds."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import granian.net
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from trove.api.gateway import Bounds, Gateway
from trove.api.routes import GUEST_PATH
from trove.cmd.service import Signals
from trove.core.errors import Unavailable

LOG = logging.getLogger(__name__)

granian_net: Any = granian.net  # its types do not know what is in it

BACKLOG = 1024
"""Connections that the kernel keeps for us while all of `max_connections` are taken; it refuses what is beyond."""

IDLE_MARGIN_S = 1.0
DESCRIPTORS = Path("/proc/self/fd")

OWN_FILES = 256
"""Open files of this process besides its clients' connections: state database, bus, logs, modules."""


class _Server(Server):  # type: ignore[misc, unused-ignore]
    """Granian's server on a socket that is bound already, and that it can let go of while it goes on with its connections."""

    def __init__(self, target: Any, listening: socket.socket, **options: Any) -> None:
        super().__init__(target, interface=Interfaces.RSGI, **options)
        self._listening = listening

    def _init_shared_socket(self) -> None:
        # A descriptor of its own: the server closes it.
        self._shd: Any = granian_net.SocketHolder(os.dup(self._listening.fileno()), False, BACKLOG)

    def stop_accepting(self) -> None:
        """Accept no more connections; other processes on the same socket get them. The server itself has no word for it.

        All descriptors of the socket in this process become those of another one, to which nobody can connect.
        """
        socket_name = (DESCRIPTORS / str(self._listening.fileno())).readlink()
        with tempfile.TemporaryDirectory(prefix="trove-api-") as directory:
            nobody = socket.socket(socket.AF_UNIX)
            nobody.bind(f"{directory}/nobody")
        nobody.listen()
        nobody.setblocking(False)
        for descriptor in list(DESCRIPTORS.iterdir()):
            with contextlib.suppress(OSError):
                if descriptor.readlink() == socket_name:
                    os.dup2(nobody.fileno(), int(descriptor.name), inheritable=False)
        nobody.close()


def serve(
    conf: Any, application: Any, signals: Signals, ready: Callable[[], None], listening: socket.socket | None = None
) -> None:
    """Answer requests until SIGTERM or SIGINT; those in hand are finished. `ready` is called once the port is open.

    SIGHUP: somebody else has taken over on `listening`. The connections are served until they are closed, which each is after
    its next answer or when it has been idle for long enough. Without `listening` it binds a socket itself.
    """
    gateway = Gateway(application, bounds(conf))
    try:
        with listening or socket.create_server((conf.bind_host, conf.bind_port), backlog=BACKLOG) as bound:
            try:
                bound.listen(BACKLOG)
            except OSError as error:
                raise Unavailable(f"Port {conf.bind_port} of {conf.bind_host} cannot be had: {error.strerror}") from error
            asyncio.run(_serve(conf, gateway, signals, ready, bound))
    finally:
        gateway.close()


def bounds(conf: Any) -> Bounds:
    """Return what the gateway takes on."""
    return Bounds(
        threads=conf.trove_api_threads,
        slow_threads=conf.guest_call_threads,
        slow=GUEST_PATH.match,
        most_requests=conf.max_concurrent_requests,
        wait_timeout_s=conf.request_wait_timeout,
        body_timeout_s=conf.client_body_timeout,
        max_body_bytes=conf.max_body_size,
    )


async def _serve(conf: Any, gateway: Gateway, signals: Signals, ready: Callable[[], None], listening: socket.socket) -> None:
    server: Any = _Server(
        gateway,
        listening,
        address=conf.bind_host,
        port=conf.bind_port,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=_connections(conf.max_connections),
        http1_settings=HTTP1Settings(header_read_timeout=int(conf.client_header_timeout * 1000)),
        log_level=LogLevels.warning,
        log_enabled=False,
    )

    retiring: list[asyncio.Future[None]] = []

    def take_signals() -> None:
        if signals.wait(0):
            signals.notifier.tell_stopping()
            server.stop()
        elif signals.take_hang_up() and not retiring:
            retiring.append(asyncio.ensure_future(_retire(server, gateway, conf.client_header_timeout)))

    asyncio.get_running_loop().add_reader(signals, take_signals)
    take_signals()
    server.on_startup(ready)
    alive = asyncio.ensure_future(_tell_alive(signals))
    try:
        await server.serve()
    finally:
        for task in (alive, *retiring):
            task.cancel()


async def _retire(server: Any, gateway: Gateway, idle_s: float) -> None:
    """Give up the socket, and stop when no connection can be idle any more: closing those would cut what is just being sent."""
    gateway.close_connections()
    server.stop_accepting()
    LOG.info("Replaced by a new process; the connections in hand are served to their end")
    await asyncio.sleep(idle_s + IDLE_MARGIN_S)
    server.stop()


async def _tell_alive(signals: Signals) -> None:
    """Give signs of life from the very loop that serves: one that hangs gives none."""
    while (interval_s := signals.notifier.interval_s) is not None:
        signals.notifier.tell_alive()
        await asyncio.sleep(interval_s)


def _connections(wanted: int) -> int:
    """Return how many connections to take, having raised the limit of open files as far as that needs and is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = max(1, soft - OWN_FILES)
        LOG.warning("The limit of %d open files allows %d connections, not %d (max_connections)", soft, allowed, wanted)
        return allowed
    return wanted
