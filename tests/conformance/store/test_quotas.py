"""Quotas: exact under concurrency, never below zero, and the refusal says why."""

import threading

import pytest

from trove.core import errors
from trove.core.quotas import Quota, Resource
from trove.store import quotas
from trove.store.session import Database

DEFAULTS = {Resource.INSTANCES: 10, Resource.VOLUMES: 40, Resource.BACKUPS: 50, Resource.RAM: -1}


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
    assert mine[Resource.VOLUMES] == Quota(resource=Resource.VOLUMES, in_use=5, limit=40)
    assert mine[Resource.RAM] == Quota(resource=Resource.RAM, in_use=10_000_000, limit=-1)
    assert all(quota.in_use == 0 for quota in others)


def test_what_does_not_fit_is_refused_with_the_numbers_and_changes_nothing(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 9}, DEFAULTS)
        with pytest.raises(errors.QuotaExceeded, match=r"instances: requested 2, in use 9, limit 10"):
            quotas.reserve(tx, "p", {Resource.VOLUMES: 1, Resource.INSTANCES: 2}, DEFAULTS)
        quotas.reserve(tx, "p", {Resource.INSTANCES: 1}, DEFAULTS)
        used = {quota.resource: quota.in_use for quota in quotas.limits_of(tx, "p", DEFAULTS)}
    assert (used[Resource.INSTANCES], used[Resource.VOLUMES]) == (10, 0)


def test_only_growth_is_checked(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.VOLUMES: 30}, DEFAULTS)
        quotas.set_limit(tx, "p", Resource.VOLUMES, 10)
        quotas.reserve(tx, "p", {Resource.VOLUMES: -5, Resource.INSTANCES: 1}, DEFAULTS)
        used = {quota.resource: quota.in_use for quota in quotas.limits_of(tx, "p", DEFAULTS)}
    assert (used[Resource.VOLUMES], used[Resource.INSTANCES]) == (25, 1)


def test_use_never_falls_below_zero(database: Database) -> None:
    with database.transaction() as tx:
        quotas.reserve(tx, "p", {Resource.INSTANCES: 1}, DEFAULTS)
        quotas.release(tx, "p", {Resource.INSTANCES: 1, Resource.BACKUPS: 1})
        quotas.release(tx, "p", {Resource.INSTANCES: 1})
        quotas.release(tx, "p", {})
        assert all(quota.in_use == 0 for quota in quotas.limits_of(tx, "p", DEFAULTS))


def test_of_fifty_that_reserve_at_once_exactly_the_limit_succeeds(database: Database) -> None:
    results: list[str] = []
    gate = threading.Barrier(50)

    def reserve() -> None:
        gate.wait()
        try:
            database.run(quotas.reserve, "p", {Resource.INSTANCES: 1, Resource.VOLUMES: 1}, DEFAULTS)
        except errors.QuotaExceeded:
            results.append("refused")
        else:
            results.append("reserved")

    threads = [threading.Thread(target=reserve) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results.count("reserved"), results.count("refused")) == (10, 40)
    with database.reading() as tx:
        used = {quota.resource: quota.in_use for quota in quotas.limits_of(tx, "p", DEFAULTS)}
    assert (used[Resource.INSTANCES], used[Resource.VOLUMES]) == (10, 10)
