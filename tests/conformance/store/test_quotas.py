"""Quotas: reserved, then in use, exact under concurrency, never below zero, repaired from the rows; refusals say why."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update
from tests.support.rows import add_instance, add_operation, add_version

from trove.core import errors
from trove.core.operations import OperationState
from trove.core.quotas import Drift, Quota, Resource, charge
from trove.store import instances, operations, quotas
from trove.store.session import Database
from trove.store.tables import operations as operation_rows
from trove.store.tables import quota_usages

DEFAULTS = {Resource.INSTANCES: 10, Resource.VOLUMES: 40, Resource.BACKUPS: 50, Resource.RAM: -1}


def counts(database: Database, project_id: str = "p") -> dict[Resource, tuple[int, int]]:
    """Return what is in use and what is reserved."""
    with database.reading() as tx:
        found = quotas.limits_of(tx, project_id, DEFAULTS)
    return {quota.resource: (quota.in_use, quota.reserved) for quota in found}


def at_once(number: int, deed: Callable[[], None]) -> list[str]:
    """Do something in so many threads at the same time; return how each ended."""
    outcomes: list[str] = []
    gate = threading.Barrier(number)

    def run() -> None:
        gate.wait()
        try:
            deed()
        except errors.TroveError as error:
            outcomes.append(error.code)
        except BaseException as error:
            outcomes.append(repr(error))
            raise
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_limits_are_the_defaults_until_a_project_has_its_own(database: Database) -> None:
    with database.transaction() as tx:
        quotas.set_limit(tx, "p", Resource.INSTANCES, 3)
        quotas.set_limit(tx, "p", Resource.INSTANCES, 4)
        quotas.reserve(tx, "p", {Resource.VOLUMES: 5, Resource.RAM: 10_000_000}, DEFAULTS)
        mine = {quota.resource: quota for quota in quotas.limits_of(tx, "p", DEFAULTS)}
        others = quotas.limits_of(tx, "other", DEFAULTS)
        with pytest.raises(errors.InvalidInput):
            quotas.set_limit(tx, "p", Resource.RAM, -2)
    assert set(mine) == set(Resource)
    assert mine[Resource.INSTANCES] == Quota(resource=Resource.INSTANCES, in_use=0, limit=4)
    assert mine[Resource.VOLUMES] == Quota(resource=Resource.VOLUMES, in_use=0, reserved=5, limit=40)
    assert mine[Resource.RAM] == Quota(resource=Resource.RAM, in_use=0, reserved=10_000_000, limit=-1)
    assert all((quota.in_use, quota.reserved) == (0, 0) for quota in others)


def test_what_is_reserved_counts_against_the_limit_and_is_settled_either_way(database: Database) -> None:
    one = {Resource.INSTANCES: 1, Resource.BACKUPS: 2}
    with database.transaction() as tx:
        for _ in range(2):
            quotas.reserve(tx, "p", one, DEFAULTS)
        quotas.commit(tx, "p", one)
        quotas.cancel(tx, "p", one)
    assert counts(database)[Resource.INSTANCES] == (1, 0)
    assert counts(database)[Resource.BACKUPS] == (2, 0)
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 8}, DEFAULTS)
        with pytest.raises(errors.QuotaExceeded, match=r"instances: requested 2, in use 1, reserved 8, limit 10"):
            quotas.reserve(tx, "p", {Resource.INSTANCES: 2}, DEFAULTS)
        quotas.release(tx, "p", {Resource.INSTANCES: 1})
        quotas.reserve(tx, "p", {Resource.INSTANCES: 2}, DEFAULTS)
    assert counts(database)[Resource.INSTANCES] == (0, 10)


def test_what_does_not_fit_is_refused_with_the_numbers_and_changes_nothing(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 9}, DEFAULTS)
        with pytest.raises(errors.QuotaExceeded, match=r"instances: requested 2, in use 0, reserved 9, limit 10"):
            quotas.reserve(tx, "p", {Resource.VOLUMES: 1, Resource.INSTANCES: 2}, DEFAULTS)
        quotas.reserve(tx, "p", {Resource.INSTANCES: 1}, DEFAULTS)
    assert (counts(database)[Resource.INSTANCES], counts(database)[Resource.VOLUMES]) == ((0, 10), (0, 0))


def test_a_request_for_three_counts_three_in_every_resource_or_nothing(database: Database) -> None:
    three = charge(ram_mib=512, volume_gib=4, instances=3)
    assert three == {Resource.INSTANCES: 3, Resource.RAM: 1536, Resource.VOLUMES: 12}
    with database.transaction() as tx:
        for _ in range(3):
            quotas.reserve(tx, "p", three, DEFAULTS)
        with pytest.raises(errors.QuotaExceeded, match=r"instances: requested 3, .* limit 10; volumes: requested 12, .* 40"):
            quotas.reserve(tx, "p", three, DEFAULTS)
    assert counts(database) == {
        Resource.INSTANCES: (0, 9),
        Resource.RAM: (0, 4608),
        Resource.VOLUMES: (0, 36),
        Resource.BACKUPS: (0, 0),
    }


def test_growth_alone_is_checked_and_shrinking_frees_only_when_it_is_done(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.VOLUMES: 30}, DEFAULTS)
        quotas.commit(tx, "p", {Resource.VOLUMES: 30})
        quotas.set_limit(tx, "p", Resource.VOLUMES, 10)
        quotas.reserve(tx, "p", {Resource.VOLUMES: -5, Resource.INSTANCES: 1}, DEFAULTS)
    assert counts(database)[Resource.VOLUMES] == (30, 0)
    with database.transaction() as tx:
        quotas.cancel(tx, "p", {Resource.VOLUMES: -5, Resource.INSTANCES: 1})
    assert counts(database)[Resource.VOLUMES] == (30, 0)
    with database.transaction() as tx:
        quotas.commit(tx, "p", {Resource.VOLUMES: -5})
    assert counts(database)[Resource.VOLUMES] == (25, 0)


def test_no_count_ever_falls_below_zero(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 1}, DEFAULTS)
        quotas.commit(tx, "p", {Resource.INSTANCES: 1})
        quotas.release(tx, "p", {Resource.INSTANCES: 1, Resource.BACKUPS: 1})
        quotas.release(tx, "p", {Resource.INSTANCES: 1})
        quotas.cancel(tx, "p", {Resource.RAM: 1})
        for nothing in (quotas.release, quotas.commit, quotas.cancel):
            nothing(tx, "p", {})
    assert set(counts(database).values()) == {(0, 0)}


def test_of_fifty_that_reserve_at_once_exactly_the_limit_succeeds(database: Database) -> None:
    both = {Resource.INSTANCES: 1, Resource.VOLUMES: 1}
    outcomes = at_once(50, lambda: database.run(quotas.reserve, "p", both, DEFAULTS))
    assert (outcomes.count("done"), outcomes.count("quota_exceeded")) == (10, 40)
    assert (counts(database)[Resource.INSTANCES], counts(database)[Resource.VOLUMES]) == ((0, 10), (0, 10))


def test_settling_and_reserving_at_once_lose_nothing(database: Database) -> None:
    both = {Resource.VOLUMES: 2, Resource.INSTANCES: 1}

    def whole_life() -> None:
        database.run(quotas.reserve, "p", both, {})
        database.run(quotas.commit, "p", both)
        database.run(quotas.reserve, "p", dict(reversed(both.items())), {})
        database.run(quotas.cancel, "p", dict(reversed(both.items())))
        database.run(quotas.release, "p", {Resource.VOLUMES: 1})

    assert set(at_once(12, whole_life)) == {"done"}
    assert (counts(database)[Resource.INSTANCES], counts(database)[Resource.VOLUMES]) == ((12, 0), (12, 0))


def test_a_recount_agrees_with_what_is_built_being_built_and_gone(database: Database) -> None:
    version = add_version(database)
    share = {resource.value: amount for resource, amount in charge(ram_mib=512, volume_gib=3).items()}
    add_instance(database, version)
    building = add_instance(database, version)
    add_operation(database, resource_id=building.id, reserved=share)
    add_operation(database, resource_id=building.id, reserved={"volumes": 4, "ram": -100})
    ended = add_operation(database, resource_id=building.id, reserved=share)
    gone = add_instance(database, version)
    with database.transaction() as tx:
        instances.mark_deleted(tx, gone.id, fence=None)
        operations.finish(tx, operations.claim(tx, ended.id, owner="a")[1], OperationState.FAILED)
        drifts = quotas.recount(tx, "p", repair=False)
    expected = {Resource.INSTANCES: (1, 1), Resource.RAM: (512, 512), Resource.VOLUMES: (3, 7)}
    assert {drift.resource: (drift.true_in_use, drift.true_reserved) for drift in drifts} == expected
    assert set(counts(database).values()) == {(0, 0)}, "not to be repaired"
    assert database.run(quotas.recount, "p") == drifts
    assert counts(database) == {**expected, Resource.BACKUPS: (0, 0)}
    assert database.run(quotas.recount, "p") == ()


def test_a_recount_sets_right_what_is_too_high_and_tells_from_what_to_what(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 3, Resource.BACKUPS: 2}, DEFAULTS)
        quotas.commit(tx, "p", {Resource.INSTANCES: 2})
        assert quotas.recount(tx, "p") == (
            Drift(project_id="p", resource=Resource.INSTANCES, in_use=2, reserved=1, true_in_use=0, true_reserved=0),
            Drift(project_id="p", resource=Resource.BACKUPS, in_use=0, reserved=2, true_in_use=0, true_reserved=0),
        )
    assert set(counts(database).values()) == {(0, 0)}


def test_what_was_accepted_before_there_were_reservations_is_in_use_and_stays_so(database: Database) -> None:
    building = add_instance(database, add_version(database))
    operation = add_operation(database, resource_id=building.id)
    with database.transaction() as tx:
        tx.execute(update(operation_rows).where(operation_rows.c.id == operation.id).values(reserved=None))
        quotas.reserve(tx, "p", instances.charges(tx, building.id), DEFAULTS)
        tx.execute(update(quota_usages).values(in_use=quota_usages.c.reserved, reserved=0))
        assert quotas.recount(tx, "p") == ()
        assert operations.get(tx, operation.id).reserved == {}


def test_projects_are_found_in_order_whether_they_have_counts_or_rows(database: Database) -> None:
    version = add_version(database)
    for project_id in ("c", "a", "d"):
        add_instance(database, version, project_id=project_id)
    with database.transaction() as tx:
        for project_id in ("b", "c"):
            quotas.reserve(tx, project_id, {Resource.RAM: 1}, {})
        assert quotas.projects(tx, limit=9) == ("a", "b", "c", "d")
        assert quotas.projects(tx, after="b", limit=1) == ("c",)
