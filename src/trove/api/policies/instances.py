"""Policy of instances."""

from trove.api.policies.rules import ADMIN, MEMBER, READER, rule

_ONE = "/instances/{instance_id}"
_ACTION = f"POST {_ONE}/action"

RULES = (
    rule("instance:create", MEMBER, "Create an instance.", "POST /instances"),
    rule("instance:delete", MEMBER, "Delete an instance.", f"DELETE {_ONE}"),
    rule("instance:force_delete", MEMBER, "Reset an instance's status in order to delete it.", _ACTION),
    rule("instance:index", READER, "List instances.", "GET /instances"),
    rule("instance:detail", READER, "List instances with details.", "GET /instances/detail"),
    rule("instance:show", READER, "Show an instance.", f"GET {_ONE}"),
    rule("instance:update", MEMBER, "Rename an instance or change what it is attached to.", f"PUT {_ONE}", f"PATCH {_ONE}"),
    rule("instance:restart", MEMBER, "Restart the database server.", _ACTION),
    rule("instance:resize_volume", MEMBER, "Grow the volume.", _ACTION),
    rule("instance:resize_flavor", MEMBER, "Change the flavor.", _ACTION),
    rule("instance:reset_status", ADMIN, "Reset an instance's status.", _ACTION),
    rule("instance:promote_to_replica_source", MEMBER, "Promote a replica.", _ACTION),
    rule("instance:rejoin", MEMBER, "Bring an ejected source, or a broken replica, back as a replica.", _ACTION),
    rule("instance:eject_replica_source", MEMBER, "Eject a dead replication source.", _ACTION),
    rule("instance:module_apply", MEMBER, "Apply modules to an instance.", "POST /instances", f"POST {_ONE}/modules"),
)
