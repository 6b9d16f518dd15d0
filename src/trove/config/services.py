"""Options that all services share: the bus, time-outs, what guests are told. In `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.StrOpt(
        "transport_url",
        secret=True,
        default="rabbit://guest:guest@localhost:5672/",
        help="Message bus of the control plane: rabbit://user:password@host:5672/vhost (several hosts with commas), amqps://, "
        "redis://, valkey:// or valkey+unix:///path.",
    ),
    cfg.StrOpt("host", sample_default="<host name>", help="Name of this machine in logs and among the lock holders."),
    cfg.StrOpt("swift_service_type", default="object-store", help="Type of Swift in the catalogue of services."),
    cfg.StrOpt(
        "swift_endpoint_type", default="publicURL", help="Endpoint of Swift, for guests, too: publicURL, internalURL, adminURL."
    ),
    cfg.StrOpt(
        "swift_guest_endpoint_type",
        help="Endpoint of Swift in guests' temporary URLs, if it is another one: publicURL, internalURL, adminURL.",
    ),
    cfg.StrOpt(
        "swift_url",
        help="URL of Swift's accounts up to the id of a project, such as https://swift.example.com/v1/AUTH_, instead of the "
        "catalogue's.",
    ),
    cfg.StrOpt(
        "swift_guest_url",
        help="URL of the same accounts as guests reach them, such as http://192.0.2.5:8080/v1/AUTH_, if it is another one.",
    ),
    cfg.BoolOpt("swift_api_insecure", default=False, help="Do not check Swift's and Keystone's certificates. For trying only."),
    cfg.StrOpt(
        "cloud",
        default="local",
        choices=[
            ("local", "servers on this machine"),
            ("openstack", "Nova, Cinder, Neutron and Glance, as [service_credentials] reach them"),
            ("memory", "pretends; for trying the API only"),
        ],
        help="Where database servers run.",
    ),
    cfg.IntOpt("report_interval", default=30, min=1, help="Seconds between two heartbeats of a guest agent."),
    cfg.IntOpt(
        "agent_heartbeat_expiry",
        default=90,
        min=1,
        help="Seconds after its last heartbeat from which a guest agent counts as gone: its operating_status becomes ERROR.",
    ),
    cfg.IntOpt("agent_call_low_timeout", default=15, min=1, help="Seconds to wait for a guest agent's answer to a light call."),
    cfg.IntOpt(
        "agent_call_high_timeout", default=180, min=1, help="Seconds to wait for a guest agent's answer to a heavy call."
    ),
    cfg.IntOpt("usage_timeout", default=1800, min=1, help="Seconds a new instance may take until its database answers."),
    cfg.IntOpt("state_change_wait_time", default=600, min=1, help="Seconds a restart may take."),
    cfg.IntOpt("resize_time_out", default=900, min=1, help="Seconds a change of flavor, or the growing of a volume, may take."),
    cfg.IntOpt(
        "failover_time_out",
        default=1800,
        min=1,
        help="Seconds the promotion of a replica, or the ejection of a source, may take; the replica catches up in that time.",
    ),
    cfg.IntOpt("volume_time_out", default=300, min=1, help="Seconds the making of a data volume may take."),
    cfg.IntOpt("reboot_time_out", default=120, min=1, help="Seconds the start of a stopped server may take."),
    cfg.IntOpt(
        "revert_time_out",
        default=600,
        min=1,
        help="Seconds that undoing a failed operation may take. What is left then is freed when the instance is deleted.",
    ),
    cfg.IntOpt(
        "server_delete_time_out", default=600, min=1, help="Seconds a deletion may take before it fails and can be repeated."
    ),
]
