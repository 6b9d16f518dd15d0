"""trove-api: the REST API, served in one or several forked processes."""

import hashlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from trove.cmd.crew import Crew
from trove.cmd.service import Signals, configured, say_ready, until_there
from trove.config import opts

LOG = logging.getLogger(__name__)

SERVICE = "trove-api"
DESCRIPTION = """Serve Trove's REST API (v1.0) on bind_host:bind_port. Stateless: any number of them may run.
SIGTERM: requests in hand are finished. SIGHUP: processes with the configuration as it is then take over one by one."""

PASTE_NAME = "trove"
GUESTS_AT_ONCE = 4
"""So many guest agents may hang before requests to others find no thread of `guest_call_threads`."""
LOCAL = "local"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 the file is made for this user alone, and refused when it is somebody else's


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    signals = Signals()

    def read() -> Any:
        return configured(SERVICE, DESCRIPTION, argv)

    conf = read()
    listening = _bind(conf)
    if listening is None:
        return 1
    code = Crew(SERVICE, signals, listening, _serve).run(conf, lambda each: each.trove_api_workers or os.cpu_count() or 1, read)
    # Not in a `finally`: the processes of the crew leave through here, too.
    _local_rates(conf).unlink(missing_ok=True)
    return code


def _bind(conf: Any) -> socket.socket | None:
    """Return the socket that all processes will share; nobody can connect before one of them is ready."""
    family = socket.AF_INET6 if ":" in conf.bind_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((conf.bind_host, conf.bind_port))
    except OSError as error:
        LOG.critical("%s cannot listen on %s port %d: %s", SERVICE, conf.bind_host, conf.bind_port, error.strerror)
        listening.close()
        return None
    return listening


def _serve(conf: Any, signals: Signals, began: float, listening: socket.socket) -> None:
    from trove.cmd import http_server

    def ready() -> None:
        say_ready(SERVICE, began, f"http://{conf.bind_host}:{conf.bind_port}", signals)

    with application_of(conf, lambda what, attempt: until_there(what, attempt, signals)) as application:
        http_server.serve(conf, application, signals, ready, listening)


@contextmanager
def application_of(conf: Any, until: Callable[[str, Callable[[], Any]], Any]) -> Iterator[Any]:
    """Yield the WSGI application on real doors, which are closed afterwards; `until` calls what may find its part away."""
    from trove.cmd import wiring

    base = wiring.foundation(conf, SERVICE)
    with closing(base):
        until("The state database", lambda: wiring.probe_database(base.database))
        with closing(until("The bus", lambda: wiring.bus(base, SERVICE))) as bus:
            yield load_application(conf, bounded(conf, wiring.doors(base, bus)))


def bounded(conf: Any, doors: Any) -> Any:
    """Return the doors with few calls at a time to one guest agent: it may hang, and the others' callers need threads, too."""
    from dataclasses import replace

    from trove.bus.bounded import BoundedCalls

    return replace(doors, bus=BoundedCalls(doors.bus, most_per_topic=max(1, conf.guest_call_threads // GUESTS_AT_ONCE)))


def load_application(conf: Any, doors: Any) -> Any:
    """Return the WSGI application of `api_paste_config`, working through `doors`."""
    from paste.deploy import loadapp

    from trove.api.app import install
    from trove.core.errors import InvalidInput

    paste = find_paste(conf)
    if paste is None:
        raise InvalidInput(f"api_paste_config: {conf.api_paste_config} cannot be found")
    install(doors, api_settings(conf))
    return loadapp(f"config:{paste}", name=PASTE_NAME)


def find_paste(conf: Any) -> Path | None:
    """Return the PasteDeploy file: as named, beside trove.conf, or in /etc/trove; None when it is in none of them."""
    named = Path(conf.api_paste_config)
    places = [named] if named.is_absolute() else [opts.config_dir(conf) / named, Path("/etc/trove") / named]
    return next((place for place in places if place.is_file()), None)


def api_settings(conf: Any) -> Any:
    """Return what operators set and the HTTP side reads. Raises `InvalidInput` naming an option that is wrong."""
    from trove.api.settings import ApiSettings
    from trove.cmd import profiling
    from trove.cmd.wiring import host_name

    basic = conf.auth_strategy == "basic"
    return ApiSettings(
        conf=conf,
        auth=conf.auth_strategy,
        basic_user_file=Path(conf.basic_auth.user_file) if basic else None,
        basic_roles_file=Path(conf.basic_auth.roles_file) if basic else None,
        public_endpoint=conf.public_endpoint,
        max_body_bytes=conf.max_body_size,
        instances_page_size=conf.instances_page_size,
        backups_page_size=conf.backups_page_size,
        clusters_page_size=conf.clusters_page_size,
        configuration_wait_s=conf.configuration_wait,
        configurations_page_size=conf.configurations_page_size,
        modules_page_size=conf.modules_page_size,
        databases_page_size=conf.databases_page_size,
        users_page_size=conf.users_page_size,
        operations_page_size=conf.operations_page_size,
        rates={
            "GET": conf.http_get_rate,
            "POST": conf.http_post_rate,
            "PUT": conf.http_put_rate,
            "PATCH": conf.http_patch_rate,
            "DELETE": conf.http_delete_rate,
            "MGMT_POST": conf.http_mgmt_post_rate,
        },
        rate_storage=_rate_storage(conf),
        profiler_keys=profiling.start(conf, SERVICE, host_name(conf)),
    )


def _rate_storage(conf: Any) -> str:
    """Return the URL of the counters of requests; raise `InvalidInput` when it is none."""
    from trove.core.errors import InvalidInput

    url: str = conf.rate_limit_storage
    if url == LOCAL:
        return f"file://{_local_rates(conf)}"
    if "://" not in url:
        raise InvalidInput("rate_limit_storage: must be local, file:///path, redis://…, rediss://… or memcached://…")
    return url


def _local_rates(conf: Any) -> Path:
    """Return the file in which all API processes of this host with this configuration count; it is made when it is needed."""
    import tempfile

    directory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    which = f"{conf.config_file} {conf.bind_host} {conf.bind_port}"
    return directory / f"trove-rates-{os.geteuid()}-{hashlib.sha256(which.encode()).hexdigest()[:12]}"


if __name__ == "__main__":
    sys.exit(main())
