"""Every kind of operation: its flow, and what its end means for the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

from trove.core.accounts import Database, User
from trove.core.callers import Caller
from trove.core.configurations import Configuration
from trove.core.errors import TroveError
from trove.core.instances import Access
from trove.operations.backup import create as create_backup
from trove.operations.backup import delete as delete_backup
from trove.operations.backup.rehearsal import back_it_up, delete_its_backups
from trove.operations.cluster import attach_configuration as attach_to_cluster
from trove.operations.cluster import create as create_cluster
from trove.operations.cluster import delete as delete_cluster
from trove.operations.cluster import detach_configuration as detach_from_cluster
from trove.operations.cluster import grow as grow_cluster
from trove.operations.cluster import rehearsal as clusters
from trove.operations.cluster import restart as restart_cluster
from trove.operations.cluster import shrink as shrink_cluster
from trove.operations.cluster import upgrade as upgrade_cluster
from trove.operations.configuration import create as create_configuration
from trove.operations.configuration import edit as edit_configuration
from trove.operations.configuration.saving import Change
from trove.operations.doors import Doors
from trove.operations.instance import (
    apply_configuration,
    attach_configuration,
    create,
    delete,
    detach,
    detach_configuration,
    eject,
    migrate,
    promote,
    reboot,
    rebuild,
    rejoin,
    resize_flavor,
    resize_volume,
    restart,
    stop,
    update_access,
    upgrade,
)
from trove.operations.module import reapply
from trove.operations.module.rehearsal import reapply_its_module, some_module
from trove.operations.tls import change as change_tls
from trove.operations.tls.rehearsal import change_its_tls
from trove.operations.work import Work
from trove.store import datastores, instances
from trove.store.session import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How operations of one kind run and end.

    `flow` makes the TaskFlow flow. `succeed` and `fail` change the rows, in the one transaction that also ends the operation;
    they leave a resource alone that a deletion has taken or that is gone. `cancellable` tells whether its user may cancel it:
    what it began is undone, and no data is lost by that.

    `rehearse` has one such operation accepted, in a world where the instance of the given id is idle, and returns the id of
    the resource that it works on. With it the crash test-kit covers the kind; nothing else calls it.
    """

    flow: Callable[[Work], Any]
    succeed: Callable[[Tx, Work], None]
    fail: Callable[[Tx, Work, TroveError], None]
    cancellable: bool
    rehearse: Callable[[Doors, Caller, str], str]


def _create_another(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept an instance like the given one, with a database and a user, so that there is a secret to be lost."""
    with doors.database.reading() as tx:
        like = instances.get(tx, instance_id)
    wanted = create.CreateInstance(
        name="rehearsal",
        flavor_ref=like.flavor_id,
        volume_size_gib=like.volume.size_gib if like.volume else None,
        datastore_type=like.datastore_version.datastore_name,
        datastore_version=like.datastore_version.id,
        databases=(Database(name="rehearsal"),),
        users=(User(name="rehearsal", password=token_urlsafe(), databases=("rehearsal",)),),
        module_ids=(some_module(doors, caller),),
    )
    return create.start(doors, caller, wanted).id


def _delete_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    delete.start(doors, caller, instance_id)
    return instance_id


def _restart_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    restart.start(doors, caller, instance_id)
    return instance_id


def _grow_its_volume(doors: Doors, caller: Caller, instance_id: str) -> str:
    with doors.database.reading() as tx:
        volume = instances.get(tx, instance_id).volume
    resize_volume.start(doors, caller, instance_id, (volume.size_gib if volume else 0) + 1)
    return instance_id


def _change_its_flavor(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the change to the next larger flavor, or from the largest to the one before it."""
    with doors.database.reading() as tx:
        has = instances.get(tx, instance_id).flavor_id
    flavors = [flavor.id for flavor in doors.cloud.flavors()]
    at = flavors.index(has)
    resize_flavor.start(doors, caller, instance_id, flavors[at + 1 if at + 1 < len(flavors) else at - 1])
    return instance_id


def _stop_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    stop.start(doors, caller, instance_id)
    return instance_id


def _reboot_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    reboot.start(doors, caller, instance_id)
    return instance_id


def _migrate_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    migrate.start(doors, caller, instance_id, None)
    return instance_id


def _rebuild_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    rebuild.start(doors, caller, instance_id, "host")
    return instance_id


def _group_for_it(doors: Doors, caller: Caller, instance_id: str, *, attached: bool) -> Configuration:
    """Return a new configuration group for the version of an instance, attached to it as if it had been for long."""
    with doors.database.reading() as tx:
        version = instances.get(tx, instance_id).datastore_version
    wanted = create_configuration.CreateConfiguration(
        name="rehearsal",
        values={"max_connections": 77},
        datastore_type=version.datastore_name,
        datastore_version=version.id,
    )
    group = create_configuration.start(doors, caller, wanted)
    if attached:
        doors.database.run(instances.set_configuration, instance_id, group.id)
    return group


def _attach_a_group(doors: Doors, caller: Caller, instance_id: str) -> str:
    group = _group_for_it(doors, caller, instance_id, attached=False)
    attach_configuration.start(doors, caller, instance_id, group.id)
    return instance_id


def _detach_its_group(doors: Doors, caller: Caller, instance_id: str) -> str:
    _group_for_it(doors, caller, instance_id, attached=True)
    detach_configuration.start(doors, caller, instance_id)
    return instance_id


def _change_its_group(doors: Doors, caller: Caller, instance_id: str) -> str:
    group = _group_for_it(doors, caller, instance_id, attached=True)
    edit_configuration.start(doors, caller, group.id, Change(values={"max_connections": 78}))
    return instance_id


def _detach_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the detachment of the instance, which is a replica."""
    detach.start(doors, caller, instance_id)
    return instance_id


def _promote_its_replica(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the promotion of the first replica of the instance."""
    with doors.database.reading() as tx:
        replica = instances.get(tx, instance_id).replicas[0]
    promote.start(doors, caller, replica)
    return replica


def _eject_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the ejection of the instance, which has replicas and is silent."""
    eject.start(doors, caller, instance_id)
    return instance_id


def _bring_it_back(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept that the instance, which was ejected, follows the source that there is."""
    with doors.database.reading() as tx:
        others = sorted(instances.live_ids(tx) - {instance_id})
        source = next(each for each in others if instances.get(tx, each).replicas)
    rejoin.start(doors, caller, instance_id, source)
    return instance_id


def _upgrade_it(doors: Doors, caller: Caller, instance_id: str) -> str:
    """Accept the upgrade to another version of its datastore."""
    with doors.database.reading() as tx:
        own = instances.get(tx, instance_id).datastore_version
        others = [each for each in datastores.get(tx, own.datastore_id).versions if each.id != own.id]
    upgrade.start(doors, caller, instance_id, others[0].id)
    return instance_id


def _open_it_to_all(doors: Doors, caller: Caller, instance_id: str) -> str:
    update_access.start(doors, caller, instance_id, Access(is_public=True, allowed_cidrs=("10.0.0.0/8",)))
    return instance_id


_ON_CLUSTERS = (
    (create_cluster, True, clusters.create_cluster_like),
    (delete_cluster, False, clusters.delete_its_cluster),
    (grow_cluster, True, clusters.grow_its_cluster),
    (shrink_cluster, False, clusters.shrink_its_cluster),
    (restart_cluster, True, clusters.restart_its_cluster),
    (upgrade_cluster, False, clusters.upgrade_its_cluster),
    (attach_to_cluster, True, clusters.attach_a_group_to_its_cluster),
    (detach_from_cluster, False, clusters.detach_the_group_of_its_cluster),
)
"""Verbs on clusters, whether they are cancellable, and how they are rehearsed."""

KINDS: Mapping[str, Kind] = {
    **{
        verb.KIND: Kind(flow=verb.flow, succeed=verb.succeed, fail=verb.fail, cancellable=cancellable, rehearse=rehearse)
        for verb, cancellable, rehearse in _ON_CLUSTERS
    },
    apply_configuration.KIND: Kind(
        flow=apply_configuration.flow,
        succeed=apply_configuration.succeed,
        fail=apply_configuration.fail,
        cancellable=False,
        rehearse=_change_its_group,
    ),
    attach_configuration.KIND: Kind(
        flow=attach_configuration.flow,
        succeed=attach_configuration.succeed,
        fail=attach_configuration.fail,
        cancellable=True,
        rehearse=_attach_a_group,
    ),
    detach_configuration.KIND: Kind(
        flow=detach_configuration.flow,
        succeed=detach_configuration.succeed,
        fail=detach_configuration.fail,
        cancellable=False,
        rehearse=_detach_its_group,
    ),
    create_backup.KIND: Kind(
        flow=create_backup.flow,
        succeed=create_backup.succeed,
        fail=create_backup.fail,
        cancellable=True,
        rehearse=back_it_up,
    ),
    delete_backup.KIND: Kind(
        flow=delete_backup.flow,
        succeed=delete_backup.succeed,
        fail=delete_backup.fail,
        cancellable=False,
        rehearse=delete_its_backups,
    ),
    create.KIND: Kind(flow=create.flow, succeed=create.succeed, fail=create.fail, cancellable=True, rehearse=_create_another),
    delete.KIND: Kind(flow=delete.flow, succeed=delete.succeed, fail=delete.fail, cancellable=False, rehearse=_delete_it),
    detach.KIND: Kind(flow=detach.flow, succeed=detach.succeed, fail=detach.fail, cancellable=False, rehearse=_detach_it),
    eject.KIND: Kind(flow=eject.flow, succeed=eject.succeed, fail=eject.fail, cancellable=False, rehearse=_eject_it),
    promote.KIND: Kind(
        flow=promote.flow, succeed=promote.succeed, fail=promote.fail, cancellable=False, rehearse=_promote_its_replica
    ),
    change_tls.KIND: Kind(
        flow=change_tls.flow,
        succeed=change_tls.succeed,
        fail=change_tls.fail,
        cancellable=True,
        rehearse=change_its_tls,
    ),
    update_access.KIND: Kind(
        flow=update_access.flow,
        succeed=update_access.succeed,
        fail=update_access.fail,
        cancellable=True,
        rehearse=_open_it_to_all,
    ),
    rejoin.KIND: Kind(flow=rejoin.flow, succeed=rejoin.succeed, fail=rejoin.fail, cancellable=False, rehearse=_bring_it_back),
    upgrade.KIND: Kind(flow=upgrade.flow, succeed=upgrade.succeed, fail=upgrade.fail, cancellable=True, rehearse=_upgrade_it),
    resize_flavor.KIND: Kind(
        flow=resize_flavor.flow,
        succeed=resize_flavor.succeed,
        fail=resize_flavor.fail,
        cancellable=True,
        rehearse=_change_its_flavor,
    ),
    resize_volume.KIND: Kind(
        flow=resize_volume.flow,
        succeed=resize_volume.succeed,
        fail=resize_volume.fail,
        cancellable=False,
        rehearse=_grow_its_volume,
    ),
    stop.KIND: Kind(flow=stop.flow, succeed=stop.succeed, fail=stop.fail, cancellable=False, rehearse=_stop_it),
    reboot.KIND: Kind(flow=reboot.flow, succeed=reboot.succeed, fail=reboot.fail, cancellable=False, rehearse=_reboot_it),
    migrate.KIND: Kind(flow=migrate.flow, succeed=migrate.succeed, fail=migrate.fail, cancellable=False, rehearse=_migrate_it),
    rebuild.KIND: Kind(flow=rebuild.flow, succeed=rebuild.succeed, fail=rebuild.fail, cancellable=False, rehearse=_rebuild_it),
    reapply.KIND: Kind(
        flow=reapply.flow, succeed=reapply.succeed, fail=reapply.fail, cancellable=False, rehearse=reapply_its_module
    ),
    restart.KIND: Kind(flow=restart.flow, succeed=restart.succeed, fail=restart.fail, cancellable=True, rehearse=_restart_it),
}
