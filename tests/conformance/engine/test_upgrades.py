"""Upgrades of every engine that has them, from one real server to the other on the same volume, and the way back."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from tests.conformance.engine.conftest import Build, Move
from tests.support.dialects import Tenant
from tests.support.editions import Edition
from tests.support.living_files import bytes_on_disk
from tests.support.servers import PASSWORD, Server

from trove.core.errors import GuestError
from trove.core.status import ServiceStatus
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.UPGRADES, Facet.USERS)


@pytest.fixture
def old(build: Build) -> Server:
    made = build()
    made.prepare()
    return made


def put(server: Server, tenant: Tenant, *keys: str) -> None:
    with closing(server.connect(tenant)) as session:
        for key in keys:
            session.put(key, key)


def keys(server: Server, tenant: Tenant) -> set[str]:
    with closing(server.connect(tenant)) as session:
        return session.keys()


def size_of(server: Server) -> int:
    """Return what the files of a volume take, in bytes."""
    return bytes_on_disk(server.guest.settings.data_dir)


def upgrade(server: Server, target: Edition, move: Move) -> None:
    """Do what the control plane does between the check and the end."""
    server.call("stop", timeout_s=60)
    move(server, target)
    server.do("upgrade", version=target.version, config=server.config())
    # Nobody was let in: it can still be taken back.
    assert server.worker.call("host.server_pid") is None
    server.call("start")


@pytest.mark.every_edition
def test_an_upgrade_keeps_all_that_tenants_have(old: Server, target: Edition, move: Move) -> None:
    tenant, other = old.new_tenant(), old.new_tenant()
    put(old, tenant, "early")
    put(old, other, "of another")
    with closing(old.connect(tenant)) as session:
        session.fill(2)
    old.call("enable_root", PASSWORD)
    before = (old.users(), old.call("get_user", tenant.name, "%"))
    old.call("check_upgrade", target.version)
    upgrade(old, target, move)
    assert old.call("version").startswith(target.version)
    assert old.call("probe") is ServiceStatus.HEALTHY
    assert (old.users(), old.call("get_user", tenant.name, "%")) == before
    assert "early" in keys(old, tenant)
    assert "of another" in keys(old, other)
    old.connect(Tenant(name=old.spec.root_name, password=PASSWORD)).close()
    kept = size_of(old)
    for _ in range(2):
        old.call("finish_upgrade")
    assert size_of(old) < kept
    put(old, tenant, "late")
    put(old, old.new_tenant(), "new")
    old.call("disable_root")
    old.kill()
    old.call("start")
    assert keys(old, tenant) >= {"early", "late"}
    # There is no way back any more, and asking for it does no harm.
    old.call("stop", timeout_s=60)
    old.call("revert_upgrade")
    old.prepare()
    assert old.call("version").startswith(target.version)
    assert keys(old, tenant) >= {"early", "late"}


@pytest.mark.every_edition
def test_the_way_back_brings_the_old_version_with_all_its_data(old: Server, target: Edition, move: Move) -> None:
    source, tenant = old.edition, old.new_tenant()
    put(old, tenant, "early")
    upgrade(old, target, move)
    put(old, tenant, "late")
    late = old.new_tenant()
    old.call("stop", timeout_s=60)
    move(old, source)
    for _ in range(2):
        old.call("revert_upgrade")
    old.prepare()
    assert old.call("version").startswith(source.version)
    assert keys(old, tenant) == {"early"}
    assert late.name not in old.users()
    # And forward again.
    upgrade(old, target, move)
    assert keys(old, tenant) == {"early"}


@pytest.mark.parametrize("seconds", [0.3, 1.2])
def test_an_upgrade_cut_off_anywhere_is_done_again_or_taken_back(
    old: Server, target: Edition, move: Move, seconds: float
) -> None:
    source, tenant = old.edition, old.new_tenant()
    put(old, tenant, "early")
    old.call("stop", timeout_s=60)
    for back in (False, True):
        move(old, target)
        cut_off(old, lambda: old.do("upgrade", version=target.version, config=old.config()), seconds)
        if back:
            move(old, source)
            cut_off(old, lambda: old.call("revert_upgrade"), seconds / 4)
            move(old, source)
            old.call("revert_upgrade")
            old.prepare()
            assert old.call("version").startswith(source.version)
        else:
            move(old, target)
            old.do("upgrade", version=target.version, config=old.config())
            old.call("start")
            assert old.call("version").startswith(target.version)
            assert keys(old, tenant) == {"early"}
            old.call("stop", timeout_s=60)
            move(old, source)
            old.call("revert_upgrade")
    assert keys(old, tenant) == {"early"}


def cut_off(server: Server, do: Callable[[], object], seconds: float) -> None:
    """Kill all processes of a machine while it does something."""
    killer = threading.Timer(seconds, server.guest.stop_all)
    killer.start()
    with suppress(GuestError, EOFError, OSError, ValueError):  # the last three of the pipe to the worker
        do()
    killer.join()


def test_an_upgrade_that_cannot_be_is_refused_before_anything_changes(old: Server, target: Edition, move: Move) -> None:
    tenant = old.new_tenant()
    put(old, tenant, "key")
    for version in ("1.0", "999.1", "no-version"):
        with pytest.raises(GuestError):
            old.call("check_upgrade", version)
    assert keys(old, tenant) == {"key"}
    assert target.version != old.edition.version
    upgrade(old, target, move)
    with pytest.raises(GuestError):
        old.call("check_upgrade", "1.0")


def test_an_upgrade_to_a_server_that_does_not_start_fails_and_the_old_one_comes_back(
    old: Server, target: Edition, move: Move
) -> None:
    source, tenant = old.edition, old.new_tenant()
    put(old, tenant, "early")
    old.call("stop", timeout_s=60)
    move(old, target)
    with pytest.raises(GuestError):
        old.do("upgrade", version=target.version, config=old.config() + "\nno_such_option_at_all = 1\n")
    move(old, source)
    old.call("revert_upgrade")
    old.prepare()
    assert keys(old, tenant) == {"early"}
