"""`trove-local up`: from nothing, or from any half-running state, to an API that answers."""

import http.client
import subprocess
import time
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy.exc import SQLAlchemyError

from trove.cloud.local.packages import HOST_IMAGE
from trove.cmd.local import console, external, fleet, processes, services, settings, statedb
from trove.cmd.local.configure import configure
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.locking import exclusive
from trove.cmd.local.logs import tail
from trove.cmd.local.ports import check_free
from trove.cmd.local.services import API, Service
from trove.cmd.local.settings import HOST, StackSettings

GIVE_UP_RESTARTS = 4


def up(layout: Layout, wanted: StackSettings, *, timeout_s: float) -> None:
    """Start what does not run, wait until the API answers, start the instances again. May run twice.

    Raises `StackError` with the end of the log that tells why when the API does not answer within `timeout_s` seconds; what
    this call started is stopped again then.
    """
    layout.create()
    with exclusive(layout, "up"):
        began = time.monotonic()
        remembered = settings.load(layout)
        _refuse_stranding(layout, remembered, wanted)
        _check_external(wanted, is_new=remembered != wanted)
        if remembered is not None and remembered != wanted:
            _stop_running(layout)
        fresh = not _running(layout)
        if not _is_up(layout, API):
            check_free(HOST, wanted.port)
        settings.save(layout, wanted)
        if fresh:
            if remembered is None:
                console.say(f"setting up {layout.root}")
            configure(layout, wanted)
        offered = fleet.offers(layout)
        statedb.prepare(layout, offered)
        try:
            _start(layout)
            _await_api(layout, wanted, timeout_s=timeout_s)
        except StackError:
            if fresh:
                _stop_running(layout)
            raise
        _start_instances(layout)
        # Those of images are prepared by whoever builds one, or by a first instance: some take a while.
        fleet.warm_up(layout, [offer for offer in offered if offer.image_id == HOST_IMAGE])
        console.say(f'up after {time.monotonic() - began:.1f} s: {wanted.url}  (clients: eval "$(trove-local env)")')


def _refuse_stranding(layout: Layout, remembered: StackSettings | None, wanted: StackSettings) -> None:
    """Raise `StackError` when instances would be left behind on a bus, or in a state database, that is not asked any more."""
    if remembered is None:
        return
    for option in ("bus", "database"):
        old, new = (_without_account(getattr(chosen, option)) for chosen in (remembered, wanted))
        if old != new and (left := len(_instances(layout))):
            raise StackError(
                f"--{option}: {left} instance{'s belong' if left > 1 else ' belongs'} to {old}. Delete the instances first, or "
                "choose another --state-dir for a stack beside this one"
            )


def _instances(layout: Layout) -> frozenset[str]:
    """Return the ids of all instances, those too whose server is not made yet, or whose state database does not answer."""
    known: frozenset[str] = frozenset()
    try:
        known = frozenset(instance.id for instance in statedb.living(layout))
    except (StackError, SQLAlchemyError) as error:
        console.complain(f"going by the servers of this machine alone: {error}")
    return known | frozenset(fleet.servers(layout))


def _without_account(url: str) -> str:
    """Return a URL without user and password, which may change."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="")) if parts.scheme else url


def _check_external(wanted: StackSettings, *, is_new: bool) -> None:
    try:
        external.check(wanted)
    except StackError as error:
        if is_new:
            raise
        # It worked before, and the databases can serve meanwhile.
        console.complain(f"warning: until this is mended the service does not work: {error}")


def _running(layout: Layout) -> Sequence[Service]:
    return [service for service in services.read_services(layout) if services.running(layout, service)]


def is_running(layout: Layout) -> bool:
    """Tell whether some service of the stack runs."""
    return bool(_running(layout))


def _is_up(layout: Layout, name: str) -> bool:
    return any(service.name == name for service in _running(layout))


def _stop_running(layout: Layout) -> None:
    services.stop_supervisor(layout)
    services.stop_services(layout, services.names(layout), grace_s=20.0)


def _start(layout: Layout) -> None:
    supervisor = processes.load(layout.supervisor)
    if supervisor is not None and not processes.is_stopped(supervisor):
        return
    if supervisor is not None:
        console.say("the supervisor stands still, and is replaced")
        services.stop_supervisor(layout)
    console.say("starting bus, conductor, object store, task managers and API")
    done = subprocess.run(
        services.supervisor_argv(layout),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"the supervisor does not start: {done.stdout.decode(errors='replace').strip()}")


def _await_api(layout: Layout, wanted: StackSettings, *, timeout_s: float) -> None:
    began = time.monotonic()
    spoke = began
    offsets = {name: _size(layout, name) for name in services.names(layout)}
    while not api_answers(wanted.port):
        now = time.monotonic()
        looping = _gave_up(layout)
        if looping or now - began > timeout_s:
            reason = f"{looping} keeps ending" if looping else f"the API does not answer within {timeout_s:g} s"
            name = looping or API
            raise StackError(f"{reason}. The end of {layout.log_of(name)}:\n{_new_tail(layout, name, offsets[name])}")
        if now - spoke > 5.0:
            console.say(f"waiting for {wanted.url} ({now - began:.0f} s)")
            spoke = now
        time.sleep(0.05)


def _size(layout: Layout, name: str) -> int:
    path = layout.log_of(name)
    return path.stat().st_size if path.exists() else 0


def _new_tail(layout: Layout, name: str, offset: int) -> str:
    path = layout.log_of(name)
    if _size(layout, name) <= offset:
        return "(nothing was written)"
    return tail(path, 25)


def _gave_up(layout: Layout) -> str | None:
    """Return the service that died again and again since the supervisor began, None when all is well."""
    deaths = services.read_deaths(layout)
    return next((name for name, count in deaths.items() if count >= GIVE_UP_RESTARTS), None)


def api_answers(port: int) -> bool:
    """Tell whether `/` of the API on this port answers with the list of versions."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        reply = connection.getresponse()
        return reply.status in {200, 300} and b'"versions"' in reply.read(10_000)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _start_instances(layout: Layout) -> None:
    """Start the database servers that a `down` or a reboot stopped; those that run are left alone."""
    stopped = [one for one in fleet.servers(layout) if fleet.pids(layout, one).server_pid is None]
    if not stopped:
        return
    console.say(f"starting {len(stopped)} database server{'s' if len(stopped) > 1 else ''} again")
    for instance_id, error in fleet.start_all(layout).items():
        console.complain(f"instance {instance_id} does not start: {error}")
