"""The table of lifecycle events: what a verb is called in `dbaas.<name>.start`, and what of its arguments is told.

Verbs that are not named here are called `<noun>_<verb>`, so a new one needs no line. The operator guide has the table.
"""

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "instance.resize_flavor": "instance_resize_instance",
    "instance.promote_to_replica_source": "instance_promote",
    "instance.eject_replica_source": "instance_eject",
    "instance.detach_replica": "instance_detach",
    "instance.upgrade": "upgrade",
    "instance.migrate": "migrate",
    "user.update": "user_update_attributes",
    "user.grant_access": "user_grant",
    "user.revoke_access": "user_revoke",
    "user.change_passwords": "user_change_password",
}
"""Where the names that consumers know differ from `<noun>_<verb>`."""

TRAITS: Mapping[str, str] = {
    "availability_zone": "availability_zone",
    "backup_id": "backup_id",
    "cluster_id": "cluster_id",
    "configuration_id": "configuration_id",
    "datastore_version_id": "datastore_version_id",
    "description": "description",
    "flavor_id": "flavor_id",
    "force": "force",
    "host": "host",
    "incremental": "incremental",
    "instance_id": "instance_id",
    "instance_ids": "instance_ids",
    "locality": "locality",
    "name": "name",
    "nic": "nics",
    "parent_id": "parent_id",
    "replica_count": "replica_count",
    "replica_of": "replica_of",
    "restore_point": "restore_point",
    "size_gib": "volume_size",
}
"""Which arguments of an operation are told, and as what. The others may be secret, such as values of configurations."""

SUFFIXES = ("start", "end", "error")


def event_name(kind: str) -> str:
    """Return what a verb (`<noun>.<verb>`) is called in notifications."""
    return NAMES.get(kind, kind.replace(".", "_"))


def event_type(kind: str, suffix: str) -> str:
    """Return the type of a notification about a verb; `suffix` is one of `SUFFIXES`."""
    return f"dbaas.{event_name(kind)}.{suffix}"
