"""All option groups: registration, loading, and the list that makes trove.conf.sample."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oslo_config import cfg

from trove.config import (
    api,
    backups,
    basic_auth,
    bus,
    conductor,
    credentials,
    database,
    datastores,
    guests,
    local,
    logs,
    modules,
    network,
    notifications,
    objectstore,
    openstack,
    oslo_messaging,
    oslo_messaging_rabbit,
    quotas,
    reconciler,
    secrets,
    services,
    taskmanager,
)

GROUPS: tuple[Any, ...] = (
    api,
    quotas,
    backups,
    objectstore,
    credentials,
    modules,
    logs,
    services,
    notifications,
    database,
    bus,
    secrets,
    basic_auth,
    taskmanager,
    reconciler,
    conductor,
    local,
    openstack,
    guests,
    network,
    *datastores.GROUPS,
    oslo_messaging,
    oslo_messaging_rabbit,
)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return every group with its options, for oslo-config-generator."""
    merged: dict[str, list[Any]] = {}
    for module in GROUPS:
        merged.setdefault(module.GROUP, []).extend(module.OPTS)
    return list(merged.items())


def register(conf: cfg.ConfigOpts) -> None:
    """Make every option known to `conf`. May run twice."""
    for module in GROUPS:
        conf.register_opts(module.OPTS, group=None if module.GROUP == "DEFAULT" else module.GROUP)


def load(conf: cfg.ConfigOpts, argv: Sequence[str], *, prog: str, description: str) -> cfg.ConfigOpts:
    """Register all options and read files and command line. Exits with 2 and a sentence on bad arguments or files."""
    register(conf)
    try:
        conf(list(argv), project="trove", prog=prog, description=description, version=version("trove"))
        _read_all(conf)
    except cfg.Error as error:
        print(f"{prog}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from error
    return conf


def config_dir(conf: cfg.ConfigOpts) -> Path:
    """Return the directory of the last configuration file, else the working directory."""
    files = conf.config_file
    return Path(files[-1]).resolve().parent if files else Path.cwd()


def _read_all(conf: cfg.ConfigOpts) -> None:
    """Read every value once: a wrong one is found now, not in the middle of some request."""
    for module in GROUPS:
        place = conf if module.GROUP == "DEFAULT" else conf[module.GROUP]
        for option in module.OPTS:
            getattr(place, option.dest)
