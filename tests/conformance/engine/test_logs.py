"""Logs of every engine that has them: switched at once and for good, cut before they fill the volume, without secrets."""

import os
from pathlib import Path

import pytest
from tests.support.dialects import Tenant
from tests.support.guests import wait_for
from tests.support.servers import Server

from trove.core.accounts import User
from trove.core.ids import new_id
from trove.core.logs import LogType
from trove.core.units import MIB
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.LOGS, Facet.USERS)

LONG = 64 * MIB
"""Longer than any engine lets a log grow."""


def mark() -> str:
    return f"mark{new_id()[:12]}"


def path_of(server: Server, log: str) -> Path:
    path = server.call("log_file", log)
    assert isinstance(path, Path)
    return path


def is_in(server: Server, log: str, word: str) -> bool:
    path = path_of(server, log)
    return path.exists() and word.encode() in path.read_bytes()


def write(server: Server, log: str, tenant: Tenant, word: str) -> None:
    server.dialect.write_to_log(log, server.address, tenant, word)


def user_logs(server: Server) -> list[str]:
    return [name for name, kind in server.spec.logs.items() if kind is LogType.USER]


def test_user_logs_are_switched_and_stay_so_over_restarts(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    for log in user_logs(fresh):
        before, on, restarted, off, still = (mark() for _ in range(5))
        assert fresh.call("log_enabled", log) is False
        write(fresh, log, tenant, before)
        for _ in range(2):
            fresh.call("enable_log", log, enabled=True)
        assert fresh.call("log_enabled", log) is True
        write(fresh, log, tenant, on)
        wait_for(lambda log=log, on=on: is_in(fresh, log, on), f"the statement in log {log}")
        fresh.kill()
        fresh.new_agent()
        fresh.call("start")
        assert fresh.call("log_enabled", log) is True
        write(fresh, log, tenant, restarted)
        wait_for(lambda log=log, word=restarted: is_in(fresh, log, word), f"the statement in log {log} after a restart")
        fresh.call("enable_log", log, enabled=False)
        write(fresh, log, tenant, off)
        fresh.restart()
        assert fresh.call("log_enabled", log) is False
        write(fresh, log, tenant, still)
        assert not any(is_in(fresh, log, word) for word in (before, off, still))


def test_what_the_server_has_to_say_is_in_its_own_logs(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    for log, kind in fresh.spec.logs.items():
        if kind is LogType.SYS:
            word = mark()
            assert fresh.call("log_enabled", log) is True
            write(fresh, log, tenant, word)
            wait_for(lambda log=log, word=word: is_in(fresh, log, word), f"the words in log {log}")


def test_a_long_log_is_put_aside_and_the_server_begins_a_new_one(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    for log in fresh.spec.logs:
        if log in user_logs(fresh):
            fresh.call("enable_log", log, enabled=True)
        first, second = mark(), mark()
        write(fresh, log, tenant, first)
        wait_for(lambda log=log, word=first: is_in(fresh, log, word), f"the words in log {log}")
        path = path_of(fresh, log)
        os.truncate(path, LONG)  # takes no space
        for _ in range(2):
            fresh.call("tend_logs")
        write(fresh, log, tenant, second)
        wait_for(lambda log=log, word=second: is_in(fresh, log, word), f"the words in the new log {log}")
        assert path_of(fresh, log).stat().st_size < LONG
        for aside in path.parent.glob(f"{path.name}.*"):
            aside.unlink(missing_ok=True)


def test_no_log_has_passwords(fresh: Server) -> None:
    tenant = fresh.new_tenant()
    for log in user_logs(fresh):
        fresh.call("enable_log", log, enabled=True)
    secret = f"v3ry-Secret-{new_id()}"
    fresh.call("create_users", [User(name="ann", password=secret)])
    fresh.call("update_user", "ann", "%", new_name=None, new_host=None, password=f"{secret}-2")
    fresh.call("enable_root", f"{secret}-3")
    fresh.call("disable_root")
    for log in fresh.spec.logs:
        word = mark()
        write(fresh, log, tenant, word)
        wait_for(lambda log=log, word=word: is_in(fresh, log, word), f"the words in log {log}")
        assert not is_in(fresh, log, secret)
