"""Options of HTTP basic authentication, for a stack without Keystone."""

from oslo_config import cfg

GROUP = "basic_auth"

OPTS = [
    cfg.StrOpt("user_file", default="/etc/trove/htpasswd", help="File of user:bcrypt-hash lines (htpasswd -B)."),
    cfg.StrOpt("roles_file", default="/etc/trove/roles.json", help="JSON file: project and roles of each user."),
]
