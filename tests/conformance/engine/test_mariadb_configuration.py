"""Configuration groups on a real MariaDB server: live where it can, else at its next start, and never the end of a server."""

from collections.abc import Mapping

import pymysql
import pytest
from tests.support.guests import Machine, Worker
from tests.support.servers import Server

from trove.core.errors import GuestError
from trove.core.status import ServiceStatus
from trove.datastores.contract import ConfigInputs
from trove.datastores.mariadb.spec import SPEC

PASSWORD = "p"


class Configured:
    """A server of its own with root enabled, so that it can be asked over TCP what it runs with."""

    def __init__(self, guest: Machine, worker: Worker) -> None:
        self.guest = guest
        self.worker = worker

    def config(self, overrides: Mapping[str, object]) -> str:
        inputs = ConfigInputs(instance_id=self.guest.instance_id, version="10.11.6", ram_mib=512, overrides=overrides)
        return SPEC.render_config(inputs)

    def apply(self, *, at_restart: tuple[str, ...] = (), **overrides: object) -> bool:
        told = self.worker.call("driver.apply_config", self.config(overrides), at_restart=at_restart)
        assert isinstance(told, bool)
        return told

    def restart(self) -> None:
        self.worker.call("driver.stop", timeout_s=30)
        self.worker.call("driver.start")

    def asks(self, statement: str) -> tuple[tuple[object, ...], ...]:
        connection = pymysql.connect(host=self.guest.address, user="root", password=PASSWORD, autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def value(self, name: str) -> object:
        return self.asks(f"SELECT @@GLOBAL.{name}")[0][0]


pytestmark = pytest.mark.manager("mariadb")


@pytest.fixture
def server(fresh: Server) -> Configured:
    fresh.call("enable_root", PASSWORD)
    return Configured(fresh.guest, fresh.worker)


def test_a_dynamic_value_is_in_effect_at_once_and_after_a_restart_and_goes_with_the_group(server: Configured) -> None:
    was = server.value("max_connections")
    pid = server.worker.call("host.server_pid")
    assert server.apply(max_connections=77, sql_mode="ANSI_QUOTES", long_query_time=1.5, slow_query_log=True) is False
    assert server.worker.call("host.server_pid") == pid
    assert (server.value("max_connections"), server.value("sql_mode")) == (77, "ANSI_QUOTES")
    assert (server.value("long_query_time"), server.value("slow_query_log")) == (1.5, 1)
    server.restart()
    assert server.value("max_connections") == 77
    assert server.apply() is False
    assert server.value("max_connections") == was  # the template's
    assert server.value("long_query_time") == 10  # the server's own
    assert server.value("slow_query_log") == 0


def test_what_can_be_changed_only_after_a_start_with_it_waits_for_that(server: Configured) -> None:
    assert server.apply(max_user_connections=40, query_cache_type="ON") is True
    assert server.value("max_user_connections") == 0
    server.restart()
    assert server.value("max_user_connections") == 40
    assert server.apply(max_user_connections=41, query_cache_type="ON") is False
    assert (server.value("max_user_connections"), server.value("query_cache_type")) == (41, "ON")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sql_mode": "NO_SUCH_MODE"}, "sql_mode"),
        ({"character_set_server": "klingon"}, "klingon"),
        ({"collation_server": "latin1_bin"}, "latin1_bin"),
        ({"no_such_parameter": 1}, "no_such_parameter"),
        ({"event_scheduler": "DISABLED"}, "event_scheduler"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_nothing_changes(
    server: Configured, values: Mapping[str, object], words: str
) -> None:
    before = server.asks("SELECT VARIABLE_NAME, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES ORDER BY 1")
    with pytest.raises(GuestError, match=words):
        server.apply(**values, autocommit=False, wait_timeout=99)
    after = server.asks("SELECT VARIABLE_NAME, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES ORDER BY 1")
    moving = {"TIMESTAMP", "LAST_GTID", "PSEUDO_THREAD_ID"}
    assert {row for row in set(before) ^ set(after) if row[0] not in moving} == set()
    server.restart()
    assert server.value("wait_timeout") == 28800


def test_a_server_that_does_not_start_with_a_configuration_starts_with_the_one_before(server: Configured) -> None:
    assert server.apply(max_connections=80, sql_mode="ANSI_QUOTES,PIPES_AS_CONCAT") is False
    server.restart()
    assert server.apply(max_connections=81, sql_mode="ANSI_QUOTES,PIPES_AS_CONCAT") is False  # and was accepted since
    # It passes the server's own check, and cannot be had.
    bad = server.config({"innodb_buffer_pool_size": 2**60})
    server.worker.call("driver.stop", timeout_s=30)
    server.worker.call("driver.write_config", bad)
    server.worker.call("driver.start")
    assert server.worker.call("driver.probe") is ServiceStatus.HEALTHY
    assert "did not start" in server.worker.call("driver.refused_config")
    assert (server.value("max_connections"), server.value("sql_mode")) == (81, "PIPES_AS_CONCAT,ANSI_QUOTES")
    # Also the next time, by whomever it is started.
    server.restart()
    assert server.worker.call("driver.probe") is ServiceStatus.HEALTHY
    server.worker.call("driver.write_config", server.config({}))
    assert server.worker.call("driver.refused_config") is None


def test_what_was_accepted_live_and_does_not_start_is_given_up_for_what_did_start(server: Configured) -> None:
    folder = server.guest.root / "config"
    bad = server.config({"innodb_buffer_pool_size": 2**60}).encode()
    server.worker.call("driver.stop", timeout_s=30)
    for name in ("mariadb.cnf", "mariadb.cnf.good"):
        server.worker.call("host.write_file", folder / name, bad + b"# " + name.encode())
    server.worker.call("driver.start")
    assert server.worker.call("driver.probe") is ServiceStatus.HEALTHY
    for name in ("mariadb.cnf", "mariadb.cnf.good", "mariadb.cnf.started"):
        server.worker.call("host.write_file", folder / name, bad)
    server.worker.call("driver.stop", timeout_s=30)
    with pytest.raises(GuestError, match="did not start"):
        server.worker.call("driver.start")
    assert (folder / "mariadb.cnf").read_bytes() == bad


def test_the_agent_works_with_settings_that_would_hinder_it(server: Configured) -> None:
    hindering = {"max_statement_time": 0.000001, "sql_mode": "ANSI_QUOTES", "autocommit": False, "wait_timeout": 1}
    server.apply(**hindering)
    assert server.worker.call("driver.probe") is ServiceStatus.HEALTHY
    assert server.apply() is False


def test_every_parameter_that_is_shipped_can_be_set_while_the_server_runs_or_waits(server: Configured) -> None:
    told = server.asks("SELECT LOWER(VARIABLE_NAME), GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES")
    now = {str(name): str(value) for name, value in told}
    ((version,),) = server.asks("SELECT VERSION()")
    shipped = SPEC.parameters(str(version).partition("-")[0])
    assert len(shipped) > 40
    for parameter in shipped:
        value = now[parameter.name]
        if parameter.name == "max_user_connections":
            continue  # see above
        # Its present value, written as a group has it, is a change of the file, and none of the server.
        given: object = {"ON": True, "OFF": False}.get(value, value) if parameter.type == "boolean" else value
        waits = server.apply(**{parameter.name: given})
        in_the_template = parameter.name == "performance_schema"
        assert waits is (parameter.restart_required and not in_the_template), parameter
    assert server.apply() is False
