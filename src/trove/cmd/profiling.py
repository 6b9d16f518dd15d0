"""osprofiler, an optional dependency: its options, and where it sends what it measures."""

import logging
from importlib import import_module
from typing import Any

from oslo_config import cfg

LOG = logging.getLogger(__name__)

GROUP = "profiler"


def start(conf: Any, service: str, host: str) -> str | None:
    """Begin to profile as `[profiler]` says; return the HMAC keys whose owners may ask for it, None when it is off."""
    try:
        options = import_module("osprofiler.opts")
    except ImportError:
        conf.register_opts([cfg.BoolOpt("enabled", default=False)], group=GROUP)
        if conf.profiler.enabled:
            LOG.error("[profiler] enabled is set, but the Python package osprofiler is not installed: nothing is profiled")
        return None
    options.set_defaults(conf)
    if not conf.profiler.enabled:
        return None
    initializer = import_module("osprofiler.initializer")
    initializer.init_from_conf(conf=conf, context={}, project="trove", service=service, host=host)
    return str(conf.profiler.hmac_keys)
