"""Clusters: built together, changed one member after the other, refused while they are busy, and freed whole."""

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import update
from tests.support.engines import EVERYTHING
from tests.support.notices import PUBLISHER
from tests.support.world import CALLER, PROJECT, World, request, until

from trove.cloud.contract import NicRequest
from trove.core.callers import Caller
from trove.core.clusters import CODES, DESCRIPTIONS, TRANSITIONS, Cluster, ClusterEvent, ClusterTask
from trove.core.errors import InvalidInput, NotFound, NotReady, QuotaExceeded, TroveError, Unavailable, Unsupported
from trove.core.instances import Instance
from trove.core.operations import Operation, OperationState
from trove.core.quotas import Resource
from trove.core.status import ServiceStatus, Task, shown_status
from trove.operations.backup import create as create_backup
from trove.operations.cluster import (
    attach_configuration,
    create,
    delete,
    detach_configuration,
    disable_root,
    enable_root,
    grow,
    reset_status,
    restart,
    show_root,
    shrink,
    upgrade,
)
from trove.operations.cluster.building import MemberRequest
from trove.operations.configuration import create as create_configuration
from trove.operations.instance import create as create_instance
from trove.operations.instance import delete as delete_instance
from trove.operations.instance import reboot as reboot_instance
from trove.operations.instance import resize_volume
from trove.operations.instance import restart as restart_instance
from trove.operations.module import create as create_module
from trove.operations.module.options import Options
from trove.operations.work import Work
from trove.store import clusters, instances, notifications, operations, quotas
from trove.store.session import Tx
from trove.store.tables import instances as instance_rows

STRANGER = Caller(project_id="other", user_id="u2", request_id="req-2")
ADMIN = Caller(project_id="admins", user_id="u3", request_id="req-3", is_admin=True)
MEMBER = MemberRequest(flavor_ref="2", volume_size_gib=2)


def wanted(**changes: object) -> create.CreateCluster:
    values: dict[str, object] = {
        "name": "ring",
        "datastore_type": EVERYTHING,
        "datastore_version": "1.0",
        "members": 3 * (MEMBER,),
    }
    return create.CreateCluster(**{**values, **changes})  # type: ignore[arg-type]


def newest(here: World) -> Operation:
    with here.database.reading() as tx:
        return operations.page(tx, project_id=PROJECT, limit=1).items[0]


def run(here: World) -> Operation:
    """Let the task manager do what was accepted last, and return how it ended."""
    here.runner().run_now(newest(here).id)
    return newest(here)


def seen(here: World, cluster_id: str) -> Cluster:
    with here.database.reading() as tx:
        return clusters.get(tx, cluster_id)


def members(here: World, cluster_id: str) -> list[Instance]:
    with here.database.reading() as tx:
        return [instances.get(tx, member.id) for member in clusters.get(tx, cluster_id).members]


def shown(here: World, cluster_id: str) -> list[str]:
    return [shown_status(each.task, each.server_status) for each in members(here, cluster_id)]


def used(here: World) -> dict[str, tuple[int, int]]:
    with here.database.reading() as tx:
        return {each.resource.value: (each.in_use, each.reserved) for each in quotas.limits_of(tx, PROJECT, {})}


def asked(here: World) -> list[tuple[str, str]]:
    """Return the jobs that guests did, as number of the member in order of its first job, and kind."""
    return [(instance_id, kind) for instance_id, kind, _ in here.guests.jobs]


@pytest.fixture
def ring(here: World) -> str:
    """A cluster of three members that serve."""
    cluster_id = create.start(here.doors, CALLER, wanted()).id
    assert run(here).state is OperationState.SUCCEEDED
    here.guests.jobs.clear()
    return cluster_id


@pytest.fixture
def group(here: World) -> str:
    made = create_configuration.CreateConfiguration(
        name="fast", values={"max_connections": 77}, datastore_type=EVERYTHING, datastore_version="1.0"
    )
    return create_configuration.start(here.doors, CALLER, made).id


def test_tasks_have_the_codes_that_clients_know() -> None:
    assert CODES[ClusterTask.NONE] == 1
    assert CODES[ClusterTask.UPDATING] == 9
    assert set(DESCRIPTIONS) == set(ClusterTask)
    for event, rule in TRANSITIONS.items():
        assert event is ClusterEvent.CREATE_ACCEPTED or None not in rule
    assert ClusterTask.DELETING not in TRANSITIONS[ClusterEvent.ENDED]


def test_a_cluster_is_built_whole_and_its_members_know_each_other(here: World) -> None:
    made = create.start(here.doors, CALLER, wanted(locality="anti-affinity", extended_properties={"num_mongos": 1}))
    assert made.task is ClusterTask.BUILDING
    assert [member.name for member in made.members] == ["ring-member-1", "ring-member-2", "ring-member-3"]
    assert used(here)["instances"] == (0, 3)
    ended = run(here)
    assert ended.error is None
    assert (ended.kind, ended.resource_type, ended.resource_id) == ("cluster.create", "cluster", made.id)

    found = seen(here, made.id)
    assert (found.task, found.fault, found.locality) == (ClusterTask.NONE, None, "anti-affinity")
    assert found.extended_properties == {"num_mongos": 1}
    ids = frozenset(member.id for member in found.members)
    assert shown(here, made.id) == ["ACTIVE"] * 3
    assert {here.cloud.specs[each].server_group for each in ids} == {made.id}
    assert here.guests.clusters.known == dict.fromkeys(ids, ids)
    assert here.guests.clusters.settled == ids
    assert here.guests.clusters.amiss == []
    joined = [args for _, kind, args in here.guests.jobs if kind == "install_cluster"]
    assert [args["founder"] for args in joined] == [True, False, False]
    assert len({str(args["secret"]) for args in joined}) == 1
    assert used(here) == {"instances": (3, 0), "ram": (1536, 0), "volumes": (6, 0), "backups": (0, 0)}


def test_secrets_of_a_cluster_do_not_outlive_its_operation(here: World, ring: str) -> None:
    with here.database.reading() as tx:
        assert tx.connection.exec_driver_sql("select count(*) from operations where secrets is not null").scalar() == 0


def test_a_datastore_without_clusters_says_so(here: World) -> None:
    with pytest.raises(Unsupported, match="MariaDB"):
        create.start(here.doors, CALLER, wanted(datastore_type="mariadb", datastore_version="10.11"))


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (1, {}, "at least 2"),
        (2, {"flavor_ref": "3"}, "flavor"),
        (2, {"flavor_ref": "nonesuch"}, "flavor"),
        (2, {"volume_size_gib": 3}, "volume"),
        (2, {"volume_size_gib": None}, "volume"),
        (2, {"volume_type": "nonesuch"}, "volume"),
        (2, {"nic": NicRequest(network_id="other")}, "network"),
        (2, {"region": "Elsewhere"}, "region_name"),
        (2, {"type": "query_router"}, "type"),
    ],
)
def test_what_cannot_be_a_cluster_is_refused_before_anything_is_stored(
    here: World, number: int, changes: dict[str, object], message: str
) -> None:
    odd = (*((number - 1) * (MEMBER,)), replace(MEMBER, **changes))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=message):
        create.start(here.doors, CALLER, wanted(members=odd))
    with here.database.reading() as tx:
        assert clusters.live_ids(tx) == frozenset()
        assert instances.live_ids(tx) == frozenset()
        assert operations.unfinished(tx, limit=9) == ()


def test_the_quota_counts_all_members_together(here: World) -> None:
    here.database.run(quotas.set_limit, PROJECT, Resource.INSTANCES, 2)
    with pytest.raises(QuotaExceeded, match="requested 3"):
        create.start(here.doors, CALLER, wanted())
    with here.database.reading() as tx:
        assert clusters.live_ids(tx) == frozenset()
    assert used(here)["instances"] == (0, 0)


@pytest.mark.parametrize("kind", ["prepare", "install_cluster", "cluster_complete"])
def test_a_cluster_that_cannot_be_built_leaves_nothing_behind_and_can_be_deleted(here: World, kind: str) -> None:
    here.script.failing[kind] = "The disk is full."
    cluster_id = create.start(here.doors, CALLER, wanted()).id
    assert run(here).state is OperationState.FAILED
    found = seen(here, cluster_id)
    assert (found.task, found.fault) == (ClusterTask.NONE, "The disk is full.")
    assert shown(here, cluster_id) == ["ERROR"] * 3
    assert all(each.fault and each.fault.message == "The disk is full." for each in members(here, cluster_id))
    assert here.cloud.leftovers().servers == ()
    assert here.admission.admitted == set()
    with pytest.raises(NotReady, match="ring-member-"):
        restart.start(here.doors, CALLER, cluster_id)
    delete.start(here.doors, CALLER, cluster_id)
    assert run(here).state is OperationState.SUCCEEDED
    with pytest.raises(NotFound):
        seen(here, cluster_id)
    assert set(used(here).values()) == {(0, 0)}


def test_a_deletion_frees_all_members_and_their_quota(here: World, ring: str) -> None:
    here.cloud.order_fault("delete_server", Unavailable("The cloud is away."), times=2)
    delete.start(here.doors, CALLER, ring)
    assert seen(here, ring).task is ClusterTask.DELETING
    assert shown(here, ring) == ["SHUTDOWN"] * 3
    delete.start(here.doors, CALLER, ring)
    with here.database.reading() as tx:
        assert len(operations.unfinished(tx, limit=9)) == 1
    run(here)
    with here.database.reading() as tx:
        assert clusters.live_ids(tx) == frozenset()
        assert instances.live_ids(tx) == frozenset()
        assert clusters.get(tx, ring, deleted=True).deleted_at is not None
    left = here.cloud.leftovers()
    assert (left.servers, left.volumes, left.ports, here.admission.admitted) == ((), (), (), set())
    assert set(used(here).values()) == {(0, 0)}


def test_what_cannot_be_freed_is_told_and_can_be_deleted_again(here: World, ring: str) -> None:
    here.cloud.order_fault("delete_volume", TroveError("The volume is on fire."), times=1)
    delete.start(here.doors, CALLER, ring)
    assert run(here).state is OperationState.FAILED
    found = seen(here, ring)
    assert (found.task, found.fault) == (ClusterTask.NONE, "The volume is on fire.")
    assert "ERROR" in shown(here, ring)
    delete.start(here.doors, CALLER, ring)
    assert run(here).state is OperationState.SUCCEEDED
    assert set(used(here).values()) == {(0, 0)}


def test_a_deletion_waits_for_what_an_administrator_does_to_a_member(here: World, ring: str) -> None:
    member = seen(here, ring).members[0].id
    restart_instance.start(here.doors, ADMIN, member)
    restarting = newest(here).id
    delete.start(here.doors, CALLER, ring)
    deleting = newest(here).id
    with here.database.reading() as tx:
        assert operations.get(tx, restarting).cancel_requested
    here.runner().run_now(restarting)
    here.runner().run_now(deleting)
    with here.database.reading() as tx:
        assert operations.get(tx, restarting).state is OperationState.CANCELLED
        assert instances.live_ids(tx) == frozenset()
    assert set(used(here).values()) == {(0, 0)}


def test_a_cluster_grows_and_all_members_know_of_it(here: World, ring: str) -> None:
    more = (MEMBER, replace(MEMBER, name="mine"))
    grown = grow.start(here.doors, CALLER, ring, more)
    assert grown.task is ClusterTask.GROWING
    assert {member.name for member in grown.members[3:]} == {"ring-member-4", "mine"}
    assert used(here)["instances"] == (3, 2)
    assert run(here).error is None
    ids = frozenset(member.id for member in seen(here, ring).members)
    assert len(ids) == 5
    assert here.guests.clusters.known == dict.fromkeys(ids, ids)
    assert here.guests.clusters.settled == ids
    assert used(here)["instances"] == (5, 0)
    secrets = {str(args["secret"]) for _, kind, args in here.guests.jobs if kind in {"install_cluster", "update_cluster"}}
    assert len(secrets) == 1


def test_members_that_do_not_come_are_unlearnt_and_can_be_shrunk_away(here: World, ring: str) -> None:
    old = frozenset(member.id for member in seen(here, ring).members)
    here.script.failing["install_cluster"] = "The network is down."
    grow.start(here.doors, CALLER, ring, (MEMBER,))
    assert run(here).state is OperationState.FAILED
    assert shown(here, ring) == ["ACTIVE"] * 3 + ["ERROR"]
    assert {each: here.guests.clusters.known[each] for each in old} == dict.fromkeys(old, old)
    (failed,) = [member.id for member in seen(here, ring).members if member.id not in old]
    here.guests.jobs.clear()
    shrink.start(here.doors, CALLER, ring, [failed])
    assert run(here).error is None
    assert seen(here, ring).fault is None
    assert "leave_cluster" not in {kind for _, kind in asked(here)}
    assert frozenset(member.id for member in seen(here, ring).members) == old
    assert used(here)["instances"] == (3, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "no new member"),
        ((MEMBER, replace(MEMBER, flavor_ref="3")), "flavor"),
        ((replace(MEMBER, name="ring-member-1"),), "ring-member-1"),
        ((replace(MEMBER, name="x"), replace(MEMBER, name="x")), "'x'"),
    ],
)
def test_what_a_cluster_cannot_grow_by_is_refused(
    here: World, ring: str, more: tuple[MemberRequest, ...], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        grow.start(here.doors, CALLER, ring, more)
    assert seen(here, ring).task is ClusterTask.NONE
    assert used(here)["instances"] == (3, 0)


def test_a_cluster_shrinks_in_good_order(here: World, ring: str) -> None:
    first, second, third = (member.id for member in seen(here, ring).members)
    shrink.start(here.doors, CALLER, ring, [second, second])
    assert seen(here, ring).task is ClusterTask.SHRINKING
    assert run(here).error is None
    assert asked(here) == [(second, "leave_cluster"), (first, "update_cluster"), (third, "update_cluster")]
    left = frozenset({first, third})
    assert here.guests.clusters.known == dict.fromkeys(left, left)
    assert set(here.cloud.leftovers().servers) == left
    assert used(here) == {"instances": (2, 0), "ram": (1024, 0), "volumes": (4, 0), "backups": (0, 0)}
    grow.start(here.doors, CALLER, ring, (MEMBER,))
    assert "ring-member-2" in {member.name for member in seen(here, ring).members}


def test_who_cannot_leave_is_refused(here: World, ring: str) -> None:
    alone = create_instance.start(here.doors, CALLER, request(name="alone")).id
    ids = [member.id for member in seen(here, ring).members]
    for leaving, message in (([], "no member"), ([alone], "not a member"), (ids, "at least 1")):
        with pytest.raises(InvalidInput, match=message):
            shrink.start(here.doors, CALLER, ring, leaving)
    assert shown(here, ring) == ["ACTIVE"] * 3


def test_a_member_that_does_not_leave_shows_error_and_can_be_removed_again(here: World, ring: str) -> None:
    leaving = seen(here, ring).members[2].id
    here.script.failing["leave_cluster"] = "Not now."
    shrink.start(here.doors, CALLER, ring, [leaving])
    assert run(here).state is OperationState.FAILED
    assert shown(here, ring) == ["ACTIVE", "ACTIVE", "ERROR"]
    assert seen(here, ring).fault == "Not now."
    shrink.start(here.doors, CALLER, ring, [leaving])
    assert run(here).error is None
    assert len(seen(here, ring).members) == 2


def test_a_restart_takes_one_member_after_the_other(here: World, ring: str) -> None:
    ids = [member.id for member in seen(here, ring).members]
    assert restart.start(here.doors, CALLER, ring).task is ClusterTask.RESTARTING
    assert shown(here, ring) == ["ACTIVE"] * 3
    assert run(here).error is None
    assert asked(here) == [(each, "restart") for each in ids]
    assert shown(here, ring) == ["ACTIVE"] * 3
    assert seen(here, ring).task is ClusterTask.NONE


def test_a_member_that_does_not_come_back_ends_the_restart(here: World, ring: str) -> None:
    with here.database.transaction() as tx:
        tx.execute(update(instance_rows).values(task=Task.RESTART_REQUIRED))
    here.script.failing["restart"] = "The disk is full."
    restart.start(here.doors, CALLER, ring)
    assert run(here).state is OperationState.FAILED
    assert len(asked(here)) == 1
    assert seen(here, ring).fault == "The disk is full."
    faults = [each.fault.message if each.fault else None for each in members(here, ring)]
    assert faults == ["The disk is full.", None, None]
    assert shown(here, ring) == ["RESTART_REQUIRED"] * 3
    here.script.failing.clear()
    restart.start(here.doors, CALLER, ring)
    assert run(here).error is None
    assert shown(here, ring) == ["ACTIVE"] * 3
    assert seen(here, ring).fault is None


def test_an_upgrade_checks_all_members_before_it_begins(here: World, ring: str) -> None:
    upgrade.start(here.doors, CALLER, ring, "2.0")
    assert seen(here, ring).task is ClusterTask.UPGRADING
    assert run(here).error is None
    assert [kind for _, kind in asked(here)] == ["pre_upgrade"] * 3 + ["stop", "upgrade", "finish_upgrade"] * 3
    assert seen(here, ring).datastore_version.name == "2.0"
    assert {each.datastore_version.name for each in members(here, ring)} == {"2.0"}


def test_an_upgrade_that_fails_shows_where(here: World, ring: str) -> None:
    here.script.failing["upgrade"] = "Corrupt."
    upgrade.start(here.doors, CALLER, ring, "2.0")
    assert run(here).state is OperationState.FAILED
    assert shown(here, ring) == ["ACTIVE"] * 3
    faults = [each.fault.message if each.fault else None for each in members(here, ring)]
    assert faults == ["Corrupt.", None, None]
    assert {each.datastore_version.name for each in members(here, ring)} == {"1.0"}
    assert seen(here, ring).datastore_version.name == "1.0"
    assert not here.guests.versions.amiss
    with pytest.raises(InvalidInput, match="nonesuch"):
        upgrade.start(here.doors, CALLER, ring, "nonesuch")


def test_a_group_is_attached_to_every_member_and_detached_again(here: World, ring: str, group: str) -> None:
    here.script.restart_required = True
    told = attach_configuration.start(here.doors, CALLER, ring, group)
    assert (told.task, told.configuration_id) == (ClusterTask.UPDATING, group)
    assert run(here).error is None
    assert {each.configuration_id for each in members(here, ring)} == {group}
    assert shown(here, ring) == ["RESTART_REQUIRED"] * 3
    assert all("max_connections = 77" in str(args["config"]) for _, _, args in here.guests.jobs)
    with pytest.raises(InvalidInput, match="detach it first"):
        attach_configuration.start(here.doors, CALLER, ring, group)
    here.script.restart_required = False
    here.guests.jobs.clear()
    detach_configuration.start(here.doors, CALLER, ring)
    assert run(here).error is None
    assert shown(here, ring) == ["ACTIVE"] * 3
    assert {each.configuration_id for each in members(here, ring)} == {None}
    assert not any("max_connections" in str(args["config"]) for _, _, args in here.guests.jobs)
    assert detach_configuration.start(here.doors, CALLER, ring).task is ClusterTask.NONE


def test_a_group_that_a_member_refuses_goes_from_all(here: World, ring: str, group: str) -> None:
    here.script.failing["configure"] = "Refused."
    attach_configuration.start(here.doors, CALLER, ring, group)
    assert run(here).state is OperationState.FAILED
    found = seen(here, ring)
    assert (found.configuration_id, found.fault) == (None, "Refused.")
    assert {each.configuration_id for each in members(here, ring)} == {None}
    assert shown(here, ring) == ["ACTIVE"] * 3


def test_values_of_a_detached_group_last_until_a_restart_where_they_could_not_be_taken_back(
    here: World, ring: str, group: str
) -> None:
    attach_configuration.start(here.doors, CALLER, ring, group)
    run(here)
    here.script.failing["configure"] = "Refused."
    detach_configuration.start(here.doors, CALLER, ring)
    assert run(here).state is OperationState.FAILED
    assert seen(here, ring).configuration_id is None
    assert shown(here, ring) == ["RESTART_REQUIRED"] * 3


def test_a_new_member_takes_the_group_of_its_cluster(here: World, group: str) -> None:
    cluster_id = create.start(here.doors, CALLER, wanted(configuration_id=group)).id
    assert run(here).error is None
    grow.start(here.doors, CALLER, cluster_id, (MEMBER,))
    assert run(here).error is None
    assert {each.configuration_id for each in members(here, cluster_id)} == {group}


def test_a_busy_cluster_takes_nothing_else_nor_do_its_members(here: World, ring: str, group: str) -> None:
    first = seen(here, ring).members[0].id
    restart.start(here.doors, CALLER, ring)
    doors = here.doors
    for verb in (
        lambda: restart.start(doors, CALLER, ring),
        lambda: grow.start(doors, CALLER, ring, (MEMBER,)),
        lambda: shrink.start(doors, CALLER, ring, [first]),
        lambda: upgrade.start(doors, CALLER, ring, "2.0"),
        lambda: attach_configuration.start(doors, CALLER, ring, group),
        lambda: delete.start(doors, CALLER, ring),
        lambda: enable_root.start(doors, CALLER, ring, None),
    ):
        with pytest.raises(NotReady, match="RESTARTING_CLUSTER"):
            verb()
    for verb_of_member in (restart_instance.start, reboot_instance.start):
        with pytest.raises(NotReady, match="its cluster"):
            verb_of_member(doors, ADMIN, first)
    assert shown(here, ring) == ["ACTIVE"] * 3
    assert used(here)["instances"] == (3, 0)


def test_a_cluster_waits_for_what_is_done_to_a_member(here: World, ring: str) -> None:
    restart_instance.start(here.doors, ADMIN, seen(here, ring).members[0].id)
    with pytest.raises(NotReady, match="ring-member-1"):
        restart.start(here.doors, CALLER, ring)
    run(here)
    restart.start(here.doors, CALLER, ring)


def test_members_are_changed_through_their_cluster(here: World, ring: str) -> None:
    member = seen(here, ring).members[0].id
    for verb in (
        lambda: delete_instance.start(here.doors, CALLER, member),
        lambda: delete_instance.start(here.doors, ADMIN, member),
        lambda: restart_instance.start(here.doors, CALLER, member),
        lambda: resize_volume.start(here.doors, CALLER, member, 3),
        lambda: create_backup.start(here.doors, CALLER, create_backup.CreateBackup(name="b", instance_id=member)),
    ):
        with pytest.raises(Unsupported, match="act on the cluster"):
            verb()


def test_strangers_find_no_cluster(here: World, ring: str) -> None:
    for verb in (
        lambda: delete.start(here.doors, STRANGER, ring),
        lambda: restart.start(here.doors, STRANGER, ring),
        lambda: grow.start(here.doors, STRANGER, ring, (MEMBER,)),
        lambda: reset_status.start(here.doors, STRANGER, ring),
        lambda: show_root.start(here.doors, STRANGER, ring),
    ):
        with pytest.raises(NotFound):
            verb()
    restart.start(here.doors, ADMIN, ring)
    assert newest(here).project_id == PROJECT


def test_a_reset_frees_a_cluster_so_that_it_can_be_deleted(here: World) -> None:
    cluster_id = create.start(here.doors, CALLER, wanted()).id
    creating = newest(here).id
    with pytest.raises(NotReady, match="BUILDING"):
        delete.start(here.doors, CALLER, cluster_id)
    assert reset_status.start(here.doors, ADMIN, cluster_id).task is ClusterTask.NONE
    assert shown(here, cluster_id) == ["ERROR"] * 3
    with pytest.raises(NotReady, match="has not ended"):
        restart.start(here.doors, CALLER, cluster_id)
    delete.start(here.doors, CALLER, cluster_id)
    assert reset_status.start(here.doors, ADMIN, cluster_id).task is ClusterTask.DELETING
    here.runner().run_now(creating)
    with here.database.reading() as tx:
        assert operations.get(tx, creating).state is OperationState.CANCELLED
        assert operations.unfinished(tx, limit=9) == ()
        assert instances.live_ids(tx) == frozenset()
        assert clusters.live_ids(tx) == frozenset()
    assert set(used(here).values()) == {(0, 0)}


def test_the_count_of_quotas_is_right_while_a_cluster_is_built(here: World, ring: str) -> None:
    grow.start(here.doors, CALLER, ring, (MEMBER,))
    assert used(here)["instances"] == (3, 1)
    assert here.database.run(quotas.recount, PROJECT) == ()


def test_the_superuser_is_enabled_on_a_member_that_serves_and_recorded_for_all(here: World, ring: str) -> None:
    first, second, _ = (member.id for member in seen(here, ring).members)
    here.guests.beat(first, "crashed")
    until(lambda: members(here, ring)[0].guest.status is ServiceStatus.CRASHED)
    assert not show_root.start(here.doors, CALLER, ring)
    with pytest.raises(NotFound):
        disable_root.start(here.doors, CALLER, ring)
    user = enable_root.start(here.doors, CALLER, ring, None)
    assert user.password
    assert [call for call in here.guests.calls if call[1] == "enable_root"] == [(second, "enable_root")]
    assert show_root.start(here.doors, CALLER, ring)
    disable_root.start(here.doors, CALLER, ring)
    assert not show_root.start(here.doors, CALLER, ring)


def test_a_late_end_says_nothing_of_a_cluster_that_was_freed(here: World, ring: str) -> None:
    restart.start(here.doors, CALLER, ring)
    reset_status.start(here.doors, ADMIN, ring)
    operation, fence = here.database.run(operations.claim, newest(here).id, owner="t")

    def end(tx: Tx) -> None:
        restart.fail(tx, Work(doors=here.doors, operation=operation, fence=fence), TroveError("Late."))

    here.database.run(end)
    assert seen(here, ring).fault is None
    assert members(here, ring)[0].guest.status is not ServiceStatus.UNKNOWN


def test_consumers_are_told_of_a_cluster_and_billed_for_its_members(here: World) -> None:
    here.database.publisher = PUBLISHER
    cluster_id = create.start(here.doors, CALLER, wanted(locality="affinity")).id
    run(here)
    grow.start(here.doors, CALLER, cluster_id, (MEMBER,))
    run(here)
    reset_status.start(here.doors, ADMIN, cluster_id)
    delete.start(here.doors, CALLER, cluster_id)
    run(here)
    with here.database.reading() as tx:
        told = notifications.waiting(tx, 1000)
    counted = Counter(each.event_type for each in told)
    for verb in ("create", "grow", "reset_status", "delete"):
        assert (counted[f"dbaas.cluster_{verb}.start"], counted[f"dbaas.cluster_{verb}.end"]) == (1, 1)
    assert (counted["trove.instance.create"], counted["trove.instance.delete"]) == (4, 4)
    (began,) = [each.payload for each in told if each.event_type == "dbaas.cluster_create.start"]
    assert (began["cluster_id"], began["name"], began["locality"]) == (cluster_id, "ring", "affinity")
    assert "secret" not in str([each.payload for each in told])


def test_members_get_their_modules_and_those_that_every_instance_gets(here: World) -> None:
    ids = []
    for name, automatic in (("wanted", False), ("automatic", True)):
        options = Options(auto_apply=automatic, all_tenants=automatic)
        module = create_module.CreateModule(name=name, type="ping", contents=b"message=hi", options=options)
        ids.append(create_module.start(here.doors, ADMIN if automatic else CALLER, module).id)
    with_modules = replace(MEMBER, module_ids=(ids[0],))
    cluster_id = create.start(here.doors, CALLER, wanted(members=2 * (with_modules,))).id
    ended = run(here)
    assert ended.error is None
    applied = [(instance_id, args["modules"]) for instance_id, kind, args in here.guests.jobs if kind == "apply_modules"]
    assert [instance_id for instance_id, _ in applied] == [member.id for member in seen(here, cluster_id).members]
    for _, sent in applied:
        assert isinstance(sent, list)
        assert {module["id"] for module in sent if isinstance(module, dict)} == set(ids)
    with pytest.raises(NotFound):
        grow.start(here.doors, CALLER, cluster_id, (replace(MEMBER, module_ids=("ghost",)),))
    assert seen(here, cluster_id).task is ClusterTask.NONE
