"""Configuration groups of every engine that has them: live where it can, else at the next start, never the end of a server."""

import re
from contextlib import closing

import pytest
from tests.support.servers import Server

from trove.core.errors import GuestError
from trove.core.parameters import Parameter, ParameterType
from trove.core.status import ServiceStatus
from trove.datastores.contract import Facet

pytestmark = pytest.mark.facet(Facet.CONFIGURATION)


def apply(server: Server, *, at_restart: tuple[str, ...] = (), **overrides: object) -> bool:
    told = server.call("apply_config", server.config(**overrides), at_restart=at_restart)
    assert isinstance(told, bool)
    return told


def test_a_live_value_is_in_effect_at_once_and_goes_with_the_group(fresh: Server) -> None:
    live = fresh.dialect.live
    was = fresh.shown(live.name)
    assert was != live.shown
    pid = fresh.worker.call("host.server_pid")
    for _ in range(2):
        assert apply(fresh, **{live.name: live.value}) is False
        assert fresh.shown(live.name) == live.shown
    assert fresh.worker.call("host.server_pid") == pid
    fresh.kill()
    fresh.call("start")
    assert fresh.shown(live.name) == live.shown
    assert apply(fresh) is False
    assert fresh.shown(live.name) == was
    fresh.restart()
    assert fresh.shown(live.name) == was


def test_a_value_that_needs_a_restart_waits_for_it(fresh: Server) -> None:
    restart, live = fresh.dialect.restart, fresh.dialect.live
    was = fresh.shown(restart.name)
    both = {restart.name: restart.value, live.name: live.value}
    assert apply(fresh, **both) is True
    assert (fresh.shown(restart.name), fresh.shown(live.name)) == (was, live.shown)
    assert apply(fresh, **{restart.name: restart.value}) is True  # it still waits
    assert apply(fresh) is False  # taken back, nothing waits
    assert apply(fresh, **both) is True
    # An agent that is new knows it, too.
    fresh.new_agent()
    assert apply(fresh, **both) is True
    fresh.restart()
    assert (fresh.shown(restart.name), fresh.shown(live.name)) == (restart.shown, live.shown)
    assert apply(fresh, **both) is False


def test_a_parameter_that_operators_want_at_restart_waits_although_it_need_not(fresh: Server) -> None:
    live = fresh.dialect.live
    was = fresh.shown(live.name)
    assert apply(fresh, at_restart=(live.name,), **{live.name: live.value}) is True
    assert fresh.shown(live.name) == was
    fresh.restart()
    assert fresh.shown(live.name) == live.shown


def test_a_server_that_is_stopped_has_the_values_when_it_starts(fresh: Server) -> None:
    live, restart = fresh.dialect.live, fresh.dialect.restart
    fresh.call("stop", timeout_s=30)
    assert apply(fresh, **{each.name: each.value for each in (live, restart)}) is False
    fresh.call("start")
    assert (fresh.shown(live.name), fresh.shown(restart.name)) == (live.shown, restart.shown)


def test_a_bad_value_is_refused_by_name_and_nothing_changes(fresh: Server) -> None:
    bad, live = fresh.dialect.refused, fresh.dialect.live
    before = {name: each.value for name, each in fresh.dialect.parameters(fresh.guest, fresh.worker).items()}
    with pytest.raises(GuestError, match=bad.name):
        apply(fresh, **{bad.name: bad.value, live.name: live.value})
    after = {name: each.value for name, each in fresh.dialect.parameters(fresh.guest, fresh.worker).items()}
    shipped = {each.name for each in fresh.spec.parameters(fresh.edition.version)}
    assert {name for name in shipped if before.get(name) != after.get(name)} == set()
    fresh.restart()
    assert fresh.call("probe") is ServiceStatus.HEALTHY
    assert fresh.shown(live.name) == before[live.name]


def test_a_server_that_does_not_start_with_a_configuration_starts_with_the_one_before(fresh: Server) -> None:
    deadly, live = fresh.dialect.deadly, fresh.dialect.live
    assert apply(fresh, **{live.name: live.value}) is False
    fresh.call("stop", timeout_s=30)
    bad = fresh.config() + "\nno_such_option_at_all = 1\n" if deadly is None else fresh.config(**{deadly.name: deadly.value})
    fresh.call("write_config", bad)
    for _ in range(2):  # also the next time, by whomever it is started
        fresh.call("start")
        assert fresh.call("probe") is ServiceStatus.HEALTHY
        assert fresh.call("refused_config")
        assert fresh.shown(live.name) == live.shown
        fresh.restart()
    fresh.call("write_config", fresh.config())
    assert fresh.call("refused_config") is None


@pytest.mark.facet(Facet.USERS)
def test_tenants_keep_their_connections_and_rows_when_a_value_changes(fresh: Server) -> None:
    live = fresh.dialect.live
    tenant = fresh.new_tenant()
    with closing(fresh.connect(tenant)) as session:
        session.put("key", "value")
        assert apply(fresh, **{live.name: live.value}) is False
        assert session.get("key") == "value"


def test_memory_follows_the_flavor(fresh: Server) -> None:
    small, large = fresh.config(ram_mib=512), fresh.config(ram_mib=4096)
    assert small != large
    fresh.call("stop", timeout_s=30)
    fresh.call("write_config", large)
    fresh.call("start")
    assert fresh.call("refused_config") is None


@pytest.mark.every_edition
def test_the_catalogue_is_true_of_the_real_server(server: Server) -> None:
    """Every parameter is there, bounds are within the server's, and what is said to be live is."""
    shipped = server.spec.parameters(server.edition.version)
    assert len(shipped) >= 75
    told = server.dialect.parameters(server.guest, server.worker)
    wrong = []
    for parameter in shipped:
        real = told.get(parameter.name)
        if real is None:
            wrong.append(f"{parameter.name}: the server has none")
            continue
        if real.live is not None and parameter.restart_required is real.live:
            wrong.append(f"{parameter.name}: live {real.live}, restart {parameter.restart_required}")
        if parameter.type in {ParameterType.INTEGER, ParameterType.FLOAT}:
            if real.minimum is not None and parameter.minimum is not None and parameter.minimum < real.minimum:
                wrong.append(f"{parameter.name}: minimum {parameter.minimum}, of the server {real.minimum}")
            if real.maximum is not None and parameter.maximum is not None and parameter.maximum > real.maximum:
                wrong.append(f"{parameter.name}: maximum {parameter.maximum}, of the server {real.maximum}")
        if real.values and not set(map(str.lower, parameter.values)) <= set(map(str.lower, real.values)):
            wrong.append(f"{parameter.name}: {parameter.values}, of the server {real.values}")
    assert wrong == []


@pytest.mark.every_edition
def test_every_parameter_can_be_given_its_present_value(fresh: Server) -> None:
    """What the server has now is accepted by the catalogue, by the server, and at its next start."""
    told = fresh.dialect.parameters(fresh.guest, fresh.worker)
    given = {}
    for parameter in fresh.spec.parameters(fresh.edition.version):
        value = as_given(parameter, told[parameter.name].value)
        if value is not None and parameter.problem(value) is None:
            given[parameter.name] = value
    assert len(given) >= 60
    apply(fresh, **given)
    assert fresh.call("probe") is ServiceStatus.HEALTHY
    fresh.restart()
    assert fresh.call("refused_config") is None
    assert fresh.call("probe") is ServiceStatus.HEALTHY


def as_given(parameter: Parameter, shown: str) -> object:
    """Return what the server shows as a group would have it; None when that is no value a group can have."""
    if parameter.type is ParameterType.BOOLEAN:
        return {"on": True, "1": True, "yes": True, "off": False, "0": False, "no": False}.get(shown.lower())
    if parameter.type is ParameterType.INTEGER:
        return int(shown) if re.fullmatch(r"-?\d+", shown) else None
    if parameter.type is ParameterType.FLOAT:
        return float(shown) if re.fullmatch(r"-?\d+(\.\d+)?", shown) else None
    return shown or None
