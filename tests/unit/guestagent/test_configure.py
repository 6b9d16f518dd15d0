"""Jobs that change the configuration: what the driver is told, and what is said when the server does not want it."""

import threading
from dataclasses import replace

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import GuestError, InvalidInput, Unsupported
from trove.datastores.contract import Facet, Spec
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.ledger import Ledger
from trove.guestagent.lifecycle import Lifecycle


def lifecycle(host: SandboxedHost, driver: SleepDriver, spec: Spec = SPEC) -> Lifecycle:
    engine = Engine(spec=spec, driver=driver, host=host)
    return Lifecycle(engine, Ledger(host), threading.RLock(), root_enabled=lambda _: None)


def unheard(_step: str, _percent: int) -> None:
    pass


@pytest.mark.parametrize("names", [[], ["ft_min_word_len"]])
def test_the_driver_tells_whether_something_waits(host: SandboxedHost, driver: SleepDriver, names: list[str]) -> None:
    result = lifecycle(host, driver).kinds()["configure"]({"config": "c", "at_restart": names}, unheard)
    assert result == {"restart_required": bool(names)}
    assert driver.config == "c"


@pytest.mark.parametrize("args", [{}, {"config": "c"}, {"config": 1, "at_restart": []}, {"config": "c", "at_restart": "x"}])
def test_malformed_arguments_are_refused(host: SandboxedHost, driver: SleepDriver, args: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        lifecycle(host, driver).kinds()["configure"](args, unheard)  # type: ignore[arg-type]
    assert driver.config is None


def test_an_engine_without_the_facet_says_so(host: SandboxedHost, driver: SleepDriver) -> None:
    without = replace(SPEC, facets=SPEC.facets - {Facet.CONFIGURATION})
    driver.refused = "Never asked for."
    with pytest.raises(Unsupported):
        lifecycle(host, driver, without).kinds()["configure"]({"config": "c", "at_restart": []}, unheard)
    lifecycle(host, driver, without).kinds()["restart"]({"config": "c"}, unheard)


def test_a_restart_that_ended_with_the_configuration_before_says_why(host: SandboxedHost, driver: SleepDriver) -> None:
    driver.refused = "The database server did not start: no memory."
    with pytest.raises(GuestError, match=r"from before.*no memory"):
        lifecycle(host, driver).kinds()["restart"]({"config": "c"}, unheard)
    assert host.server_pid() is not None
    lifecycle(host, driver).kinds()["restart"]({}, unheard)  # nothing new was asked for
