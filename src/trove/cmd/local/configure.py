"""Writes the configuration of a stack: trove.conf, api-paste.ini, keys, and what the supervisor shall run."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from trove.bus import embedded
from trove.cloud.local.images.catalogue import default_directory
from trove.cmd.local import accounts
from trove.cmd.local.layout import Layout, write_private
from trove.cmd.local.ports import free_port, is_free
from trove.cmd.local.services import API, BUS, CONDUCTOR, OBJECTSTORE, Service, taskmanagers, write_services
from trove.cmd.local.settings import DATABASE, EMBEDDED, FILE, HOST, KEYSTONE, SQLITE, StackSettings

DEFAULT_DATASTORE = "mariadb"

Sections = Mapping[str, Mapping[str, object]]


def configure(layout: Layout, settings: StackSettings) -> tuple[Service, ...]:
    """Write every file of the stack and return its services in the order of starting. Only while none of them runs."""
    accounts.ensure_accounts(layout, settings)
    bus_url, services = settings.bus, []
    if settings.bus == EMBEDDED:
        bus_url, service = _embedded_bus(layout)
        services.append(service)
    write_private(layout.conf, ini_text(trove_conf(layout, settings, bus_url)))
    write_private(layout.paste, files("trove.cmd.local").joinpath("api-paste.ini").read_bytes())
    words = [word for path in config_files(layout) for word in ("--config-file", os.fspath(path))]
    modules = {
        CONDUCTOR: "trove.cmd.conductor",
        OBJECTSTORE: "trove.cmd.objectstore",
        **dict.fromkeys(taskmanagers(settings.task_managers), "trove.cmd.taskmanager"),
        API: "trove.cmd.api",
    }
    services += [Service(name=name, argv=(sys.executable, "-m", module, *words)) for name, module in modules.items()]
    services = [replace(service, watchdog_s=settings.watchdog_s or None) for service in services]
    write_services(layout, services)
    return tuple(services)


def config_files(layout: Layout) -> tuple[Path, ...]:
    """Return the configuration files of the services: the generated one, then the user's own, which wins, if there is one."""
    return (layout.conf, layout.override) if layout.override.exists() else (layout.conf,)


def _embedded_bus(layout: Layout) -> tuple[str, Service]:
    layout.bus.mkdir(exist_ok=True, mode=0o711)
    layout.bus.chmod(0o711)
    server = embedded.prepare(layout.bus, control_password=accounts.ensure_secret(layout, "bus.password"))
    # The server would rewrite its command line, by which it is found again when its record is lost.
    argv = (*server.argv, "--set-proc-title", "no")
    return server.url, Service(name=BUS, argv=argv, socket=os.fspath(server.socket_path))


def database_url(layout: Layout, settings: StackSettings) -> str:
    """Return the SQLAlchemy URL of the state database."""
    return f"sqlite:///{layout.root / 'trove.sqlite'}" if settings.database == SQLITE else settings.database


def objects_port(layout: Layout, settings: StackSettings) -> int:
    """Return the port on which guests reach the object store: the one it had before, else the one behind the API's, else any.

    It is remembered. Only while nothing of the stack runs.
    """
    try:
        remembered = [int(layout.objects_port.read_text())]
    except (FileNotFoundError, ValueError):
        remembered = []
    port = next((each for each in (*remembered, settings.port + 1) if each != settings.port and is_free(HOST, each)), None)
    port = port or free_port(HOST)
    write_private(layout.objects_port, str(port))
    return port


def lock_url(layout: Layout, settings: StackSettings) -> str:
    """Return the URL of the locks that task managers share."""
    if settings.locks == FILE:
        return f"file://{_lock_directory(layout)}"
    if settings.locks == DATABASE:
        # As the state database, without the name of SQLAlchemy's driver.
        scheme, _, rest = settings.database.partition("://")
        return f"{scheme.partition('+')[0]}://{rest}"
    return settings.locks


def _lock_directory(layout: Layout) -> Path:
    return layout.run / "locks"


def trove_conf(layout: Layout, settings: StackSettings, bus_url: str) -> Sections:
    """Return the sections of trove.conf."""
    locks = _lock_directory(layout)
    # No task manager runs now: the empty lock files of instances that are gone can go too.
    shutil.rmtree(locks, ignore_errors=True)
    locks.mkdir(exist_ok=True, mode=0o700)
    port = objects_port(layout, settings)
    sections: dict[str, Mapping[str, object]] = {
        "DEFAULT": {
            "bind_host": HOST,
            "bind_port": settings.port,
            "trove_api_workers": 1,
            "api_paste_config": layout.paste,
            "auth_strategy": settings.auth,
            # One user's own machine: nobody to be protected from floods.
            **{f"http_{method}_rate": 0 for method in ("get", "post", "put", "patch", "delete", "mgmt_post")},
            "transport_url": bus_url,
            "cloud": "local",
            "region": settings.region,
            "default_datastore": DEFAULT_DATASTORE,
            "report_interval": 2,
            "agent_heartbeat_expiry": 20,
        },
        "database": {"connection": database_url(layout, settings)},
        "secrets": {"key_file": layout.keys / "vault.key", "create_key_file": "true"},
        "basic_auth": {"user_file": layout.keys / "htpasswd", "roles_file": layout.keys / "roles.json"},
        "taskmanager": {"lock_url": lock_url(layout, settings)},
        "local": {"state_dir": layout.cloud, "images_dir": default_directory()},
        "objectstore": {"driver": "file", "path": layout.objects, "endpoint": f"http://{HOST}:{port}", "bind_port": port},
    }
    if settings.auth == KEYSTONE:
        sections["keystone_authtoken"] = {
            "auth_type": "password",
            "auth_url": settings.auth_url,
            "www_authenticate_uri": settings.auth_url,
            "username": settings.auth_user,
            "password": settings.auth_password,
            "project_name": settings.auth_project,
            "user_domain_name": settings.auth_domain,
            "project_domain_name": settings.auth_domain,
            "region_name": settings.region,
        }
    return sections


def ini_text(sections: Sections) -> str:
    """Return sections in the form of trove.conf. oslo.config substitutes `$name`, so dollars are doubled for it."""
    lines = ["# Written by `trove-local up`; it is overwritten at the next one."]
    for section, options in sections.items():
        lines += ["", f"[{section}]"]
        for name, value in options.items():
            lines.append(f"{name} = {str(value).replace('$', '$$')}")
    return "\n".join(lines) + "\n"
