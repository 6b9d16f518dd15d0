"""Options of the keys that encrypt secrets in the state database and seal messages."""

from oslo_config import cfg

GROUP = "secrets"

OPTS = [
    cfg.StrOpt(
        "key_file",
        default="/etc/trove/secret.key",
        help="File with the keys that encrypt secrets in the state database, one a line; the first encrypts, all decrypt. "
        "The same on all control-plane machines, readable by their service user only.",
    ),
    cfg.BoolOpt("create_key_file", default=False, help="Make key_file with a fresh key when it does not exist."),
]
