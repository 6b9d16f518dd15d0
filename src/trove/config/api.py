"""Options of trove-api, in `[DEFAULT]` under the names operators know."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.HostAddressOpt("bind_host", default="0.0.0.0", help="Address trove-api listens on."),  # noqa: S104
    cfg.PortOpt("bind_port", default=8779, help="Port trove-api listens on."),
    cfg.IntOpt(
        "trove_api_workers",
        min=1,
        sample_default="<number of CPUs>",
        help="Processes that answer requests. Each serves many requests at once with threads. Default: the number of CPUs.",
    ),
    cfg.IntOpt(
        "trove_api_threads",
        default=16,
        min=1,
        help="Requests one API process handles at the same time, besides those that wait for guest agents.",
    ),
    cfg.IntOpt(
        "guest_call_threads",
        default=16,
        min=1,
        help="Requests about databases, users and root one API process handles at the same time. They wait for guest agents, "
        "so they have threads of their own; a quarter of them may wait for one and the same guest agent.",
    ),
    cfg.FloatOpt(
        "request_wait_timeout",
        default=5.0,
        min=0.1,
        help="Seconds a request may wait until a thread is free; then it gets 503 and nothing was done.",
    ),
    cfg.IntOpt(
        "max_concurrent_requests",
        default=256,
        min=1,
        help="Requests one API process has in hand at most, with those that wait for a thread; more get 503 at once.",
    ),
    cfg.IntOpt(
        "max_connections",
        default=2048,
        min=1,
        help="Connections one API process keeps open; more wait until one is closed. The limit of open files is raised for it "
        "as far as that is allowed.",
    ),
    cfg.FloatOpt(
        "client_header_timeout",
        default=20.0,
        min=0.1,
        help="Seconds a client may take for the headers of a request, and may leave a connection idle; then it is closed.",
    ),
    cfg.FloatOpt(
        "client_body_timeout", default=30.0, min=0.1, help="Seconds a client may take to send a whole body; then it gets 408."
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="keystone",
        choices=[("keystone", "tokens of Keystone, see [keystone_authtoken]"), ("basic", "HTTP basic, see [basic_auth]")],
        help="How clients prove who they are.",
    ),
    cfg.StrOpt("public_endpoint", help="Base URL for links in replies, when it differs from what clients ask for."),
    cfg.StrOpt(
        "api_paste_config",
        default="api-paste.ini",
        help="PasteDeploy file of the API; looked up beside trove.conf when relative.",
    ),
    cfg.IntOpt("max_body_size", default=1024 * 1024, min=1024, help="Largest request body in bytes; a larger one gets 413."),
    cfg.IntOpt("instances_page_size", default=20, min=1, help="Most instances in one page."),
    cfg.IntOpt("backups_page_size", default=20, min=1, help="Backups in one page, unless a client wants another number."),
    cfg.FloatOpt(
        "configuration_wait",
        default=10.0,
        min=0,
        max=30,
        help="Seconds that a request to attach, detach or change a configuration group, or TLS, waits for the database servers "
        "to have it, before it is answered all the same; 0 answers at once. Some clients look for the effect immediately.",
    ),
    cfg.IntOpt("clusters_page_size", default=20, min=1, help="Most clusters in one page."),
    cfg.IntOpt("configurations_page_size", default=20, min=1, help="Most configuration groups in one page."),
    cfg.IntOpt("modules_page_size", default=20, min=1, help="Most modules in one page."),
    cfg.IntOpt("databases_page_size", default=20, min=1, help="Most databases in one page."),
    cfg.IntOpt("users_page_size", default=20, min=1, help="Most users in one page."),
    cfg.IntOpt("operations_page_size", default=20, min=1, help="Most operations in one page."),
    cfg.IntOpt("http_get_rate", default=200, min=0, help="GET requests per minute of one user of a project, 0 is unlimited."),
    cfg.IntOpt("http_post_rate", default=200, min=0, help="POST requests per minute of one user of a project, 0 is unlimited."),
    cfg.IntOpt("http_put_rate", default=200, min=0, help="PUT requests per minute of one user of a project, 0 is unlimited."),
    cfg.IntOpt("http_patch_rate", default=200, min=0, help="PATCH requests per minute of one user, 0 is unlimited."),
    cfg.IntOpt(
        "http_delete_rate", default=200, min=0, help="DELETE requests per minute of one user of a project, 0 is unlimited."
    ),
    cfg.IntOpt(
        "http_mgmt_post_rate",
        default=200,
        min=0,
        help="POST requests below /{project}/mgmt/ per minute of one user, 0 is unlimited. They count here alone.",
    ),
    cfg.StrOpt(
        "rate_limit_storage",
        secret=True,
        default="local",
        help="Where requests are counted for the rates: `local`, which all API processes of this host share; file:///path, the "
        "same in a file of your choice; or for several hosts redis://[:password@]host:port/db, rediss://… or "
        "memcached://host:port, which need the Python package `limits`. While it cannot be reached, requests pass uncounted.",
    ),
    cfg.StrOpt("region", default="RegionOne", help="Name of the region this Trove serves."),
    cfg.StrOpt(
        "default_datastore", help="Datastore of an instance whose creator names none; unset makes naming one mandatory."
    ),
]
