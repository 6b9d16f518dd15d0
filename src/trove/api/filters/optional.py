"""Filters of other projects, put in only where they would do something: each costs more than the whole app.

All read the oslo.config object of `ApiSettings.conf`, so that trove.conf is the one place for their options.
"""

from importlib import import_module

from trove.api.filters.wsgi import App, Filter
from trove.api.settings import installed

CORS_ALLOWED = ["X-Auth-Token", "X-OpenStack-Request-ID", "Authorization", "Content-Type"]
CORS_EXPOSED = ["X-OpenStack-Request-ID", "X-Trove-Operation-Id", "Location", "Retry-After"]
CORS_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
"""What trove.conf may replace in `[cors]`; the library's own defaults would keep out the headers that our clients need."""


def cors_factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `cors`: oslo.middleware's when `[cors] allowed_origin` is set, else nothing."""

    def bound(app: App) -> App:
        conf = installed().settings.conf
        cors = import_module("oslo_middleware.cors")
        cors.set_defaults(allow_headers=CORS_ALLOWED, expose_headers=CORS_EXPOSED, allow_methods=CORS_METHODS)
        filtered: App = cors.CORS(app, conf)
        return filtered if conf.cors.allowed_origin else app

    return bound


def proxy_factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `http_proxy_to_wsgi`: oslo.middleware's with `enable_proxy_headers_parsing`, else nothing."""

    def bound(app: App) -> App:
        conf = installed().settings.conf
        filtered: App = import_module("oslo_middleware.http_proxy_to_wsgi").HTTPProxyToWSGI(app, conf)
        return filtered if conf.oslo_middleware.enable_proxy_headers_parsing else app

    return bound


def osprofiler_factory(_global_conf: dict[str, str], **_local_conf: str) -> Filter:
    """Return the Paste filter `osprofiler`: osprofiler's when `[profiler] enabled` is set and it is installed, else nothing."""

    def bound(app: App) -> App:
        keys = installed().settings.profiler_keys
        if keys is None:
            return app
        filtered: App = import_module("osprofiler.web").WsgiMiddleware(app, hmac_keys=keys, enabled=True)
        return filtered

    return bound


def authtoken_factory(_global_conf: dict[str, str], **local_conf: str) -> Filter:
    """Return the Paste filter `authtoken`: keystonemiddleware's, reading `[keystone_authtoken]` of trove.conf."""

    def bound(app: App) -> App:
        protocol = import_module("keystonemiddleware.auth_token").AuthProtocol
        filtered: App = protocol(app, {**local_conf, "oslo_config_config": installed().settings.conf})
        return filtered

    return bound
