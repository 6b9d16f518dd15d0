"""Options of the local cloud: database servers on this machine."""

from oslo_config import cfg

GROUP = "local"

OPTS = [
    cfg.StrOpt(
        "state_dir", default="/var/lib/trove/local", help="Directory of the local cloud's servers, volumes and templates."
    ),
    cfg.StrOpt(
        "address_pool", default="127.77.0.0/16", help="Loopback network that each instance gets an address of its own from."
    ),
    cfg.StrOpt(
        "sandbox",
        default="auto",
        choices=[("auto", "bubblewrap when it works here"), ("bwrap", "bubblewrap"), ("process", "plain processes")],
        help="What database servers run in.",
    ),
    cfg.StrOpt(
        "volumes",
        default="auto",
        choices=[
            ("auto", "loop-mounted when it works here"),
            ("loop", "loop-mounted file systems of the exact size"),
            ("directory", "directories whose usage is watched"),
        ],
        help="What data volumes are.",
    ),
    cfg.StrOpt(
        "images_dir",
        sample_default="/var/cache/trove/images",
        help="Directory of the images that `trove-local image build` makes; without it, where that command puts them.",
    ),
    cfg.FloatOpt(
        "memory_overcommit",
        default=1.5,
        min=0,
        help="How many times the memory of this machine the flavors of all its instances may add up to; 0 is no limit. What is "
        "beyond fails with `No valid host`.",
    ),
    cfg.ListOpt(
        "agent_command",
        default=[],
        help="Words of the command that starts a guest agent; empty starts it with the Python of the control plane.",
    ),
]
