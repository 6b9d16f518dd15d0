"""Serves the API over HTTP: Granian's embedded server in an event loop of the main thread, behind the gateway's bounds."""

import asyncio
import logging
import resource
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from trove.api.gateway import Bounds, Gateway
from trove.api.routes import GUEST_PATH
from trove.cmd import logs
from trove.cmd.service import Signals

LOG = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that the kernel keeps for us while all of `max_connections` are taken; it refuses what is beyond."""

OWN_FILES = 256
"""Open files of this process besides its clients' connections: state database, bus, logs, modules."""


def serve(conf: Any, application: Any, signals: Signals, ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; those in hand are finished. `ready` is called once the port is open."""
    gateway = Gateway(application, bounds(conf))
    try:
        asyncio.run(_serve(conf, gateway, signals, ready))
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


async def _serve(conf: Any, gateway: Gateway, signals: Signals, ready: Callable[[], None]) -> None:
    server: Any = Server(
        gateway,
        address=conf.bind_host,
        port=conf.bind_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=_connections(conf.max_connections),
        http1_settings=HTTP1Settings(header_read_timeout=int(conf.client_header_timeout * 1000)),
        log_level=LogLevels.warning,
        log_enabled=False,
    )

    def take_signals() -> None:
        if signals.wait(0):
            signals.notifier.tell_stopping()
            server.stop()
        elif signals.take_hang_up():
            logs.reread(conf)

    asyncio.get_running_loop().add_reader(signals, take_signals)
    take_signals()
    server.on_startup(ready)
    alive = asyncio.ensure_future(_tell_alive(signals))
    try:
        await server.serve()
    finally:
        alive.cancel()


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
