"""A verb whose server is killed in its middle brings it back and is done; one that finds it gone again and again says so."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.guestagent.conftest import SleepDriver

from trove.core.errors import Unavailable
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost
from trove.guestagent.jobs import Work
from trove.guestagent.ledger import Ledger, Prepared
from trove.guestagent.patience import ATTEMPTS, Patient

GONE = "The database server does not answer."


class Verb:
    """Needs the server, which is killed in the middle of the first `deaths` runs."""

    def __init__(self, driver: SleepDriver, deaths: int) -> None:
        self.driver = driver
        self.deaths = deaths
        self.runs = 0

    def __call__(self, _args: Mapping[str, Any], _progress: Any) -> Mapping[str, Any]:
        self.runs += 1
        if self.runs <= self.deaths:
            self.driver.stop(timeout_s=1)
        if self.driver.host.server_pid() is None:
            raise Unavailable(GONE)
        return {"runs": self.runs}


def patient(host: SandboxedHost, driver: SleepDriver, kind: str, verb: Work, *, wanted: bool = True) -> Work:
    ledger = Ledger(host)
    ledger.update(prepared=Prepared.YES, wanted=wanted)
    driver.start()
    engine = Engine(spec=SPEC, driver=driver, host=host)  # type: ignore[arg-type]
    return Patient(engine, ledger, threading.RLock()).kinds({kind: verb})[kind]


def quiet(_step: str, _percent: int) -> None:
    pass


def test_a_verb_is_done_although_its_server_is_killed_twice(host: SandboxedHost, driver: SleepDriver) -> None:
    assert patient(host, driver, "make_read_only", Verb(driver, 2))({}, quiet) == {"runs": 3}
    assert driver.starts == 3


def test_a_server_that_dies_each_time_is_told(host: SandboxedHost, driver: SleepDriver) -> None:
    verb = Verb(driver, 100)
    with pytest.raises(Unavailable, match=GONE):
        patient(host, driver, "make_read_only", verb)({}, quiet)
    assert verb.runs == ATTEMPTS


def test_a_backup_is_not_made_again_by_itself(host: SandboxedHost, driver: SleepDriver) -> None:
    verb = Verb(driver, 1)
    with pytest.raises(Unavailable, match=GONE):
        patient(host, driver, "backup", verb)({}, quiet)
    assert verb.runs == 1


def test_a_server_that_shall_not_run_is_not_started(host: SandboxedHost, driver: SleepDriver) -> None:
    with pytest.raises(Unavailable):
        patient(host, driver, "make_read_only", Verb(driver, 1), wanted=False)({}, quiet)
    assert host.server_pid() is None
