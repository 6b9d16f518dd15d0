"""The TLS of an instance: what is shown of it, what a change answers, and for what a change is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from falcon import testing
from tests.http.test_instances import error as fault
from tests.support.certificates import Authority, Issued
from tests.support.http_api import OTHER_PROJECT, PROJECT, Api, serving_api
from tests.support.pkcs12_files import pkcs12_of

from trove.api.faults import KEYS
from trove.api.request import Request
from trove.cloud.contract import KeyToken
from trove.cloud.memory_keys import MemoryKeys
from trove.core.errors import GuestError, Unavailable
from trove.core.transitions import Event
from trove.operations.doors import Doors
from trove.store import instances
from trove.taskmanager.runner import Runner
from trove.workflow.locks import Locks

REFERENCE = "http://keys.example.test/v1/containers/1"
ENABLE = {"enable": True, "container_ref": REFERENCE, "password_ref": REFERENCE, "mode": "enforced"}
PASSPHRASE = b"s3same"


@dataclass
class AtOnce:
    """Carries operations out when they are announced, if `works`."""

    locks: Path
    doors: Doors | None = None
    works: bool = True

    def announce(self, operation_id: str) -> None:
        assert self.doors is not None
        if self.works:
            Runner(self.doors, locks=Locks(f"file://{self.locks}", "tester"), owner="tester", workers=1).run_now(operation_id)


@dataclass(frozen=True)
class Service:
    """An API with a key manager, where callers are who their project is, and a task manager that is quick."""

    api: Api
    keys: MemoryKeys
    task_manager: AtOnce
    authority: Authority

    def store(self, issued: Issued | None = None, **more: Any) -> tuple[dict[str, Any], str]:
        """Store a certificate; return what enables it, and the certificate."""
        made = issued or self.authority.issue("db", "10.0.0.1")
        ref = self.keys.store(PROJECT, pkcs12_of(made, self.authority, PASSPHRASE))
        word = self.keys.store(PROJECT, PASSPHRASE)
        return {"enable": True, "container_ref": ref, "password_ref": word, **more}, made.certificate


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    keys, task_manager = MemoryKeys(), AtOnce(tmp_path)

    def around(doors: Doors) -> Doors:
        task_manager.doors = replace(doors, keys=keys, announcer=task_manager)
        return task_manager.doors

    monkeypatch.setattr(Request, "key_token", property(lambda self: KeyToken(token=self.caller.project_id)))
    with serving_api(tmp_path, around=around, configuration_wait_s=0.2) as api:
        yield Service(api, keys, task_manager, Authority())


def refused(result: testing.Result, code: int) -> str:
    """Check the shape of an error and return its message."""
    message: str = fault(result, code, KEYS[code])
    return message


def change(api: Api, instance: str, *, user: str = "member", **wanted: Any) -> testing.Result:
    return api.post(f"/instances/{instance}/ssl", {"ssl": wanted}, user=user)


def shown(api: Api, instance: str, query: str = "") -> Any:
    return api.get(f"/instances/{instance}/ssl{query}", user="reader").json["ssl"]


@pytest.fixture
def version(api: Api) -> str:
    return api.offer_everything()[0]


@pytest.fixture
def instance(api: Api, version: str) -> str:
    return api.active(version_id=version)


@pytest.fixture
def ours(served: Service) -> str:
    """Return an instance of the service with a key manager."""
    return served.api.active(version_id=served.api.offer_everything()[0])


def test_it_is_off_until_it_is_enabled(api: Api, instance: str) -> None:
    assert shown(api, instance, "?include_certificate=true") == {"status": "off", "mode": "builtin"}
    assert api.guests[instance].calls == []


def test_it_is_enabled_shown_rolled_back_and_disabled(served: Service, ours: str) -> None:
    wanted, certificate = served.store(mode="enforced")
    assert change(served.api, ours, **wanted).json == {"ssl": {"restart_required": False}}
    told = shown(served.api, ours)
    assert (told["status"], told["mode"]) == ("on", "enforced")
    assert (told["certificate"]["cn"], told["certificate"]["san"]) == ("db", ["IP Address:10.0.0.1"])
    assert len(told["certificate"]["expire_at"]) == len("2027-01-01T00:00:00.000000")
    assert set(told["certificate"]) == {"cn", "expire_at", "san"}
    assert shown(served.api, ours, "?include_certificate=true")["certificate"]["payload"] == certificate
    assert served.api.guests[ours].calls == ["ssl_action"]
    plain, _ = served.store(served.authority.issue("other"))
    assert change(served.api, ours, **plain).status_code == 200
    assert (shown(served.api, ours)["mode"], shown(served.api, ours)["certificate"]["san"]) == ("basic", None)
    back = change(served.api, ours, rollback=True).json
    assert back == {"ssl": {"restart_required": False, "status": "on", "mode": "enforced"}}
    served.api.guests[ours].restart_required = True
    assert change(served.api, ours, disable=True).json == {"ssl": {"restart_required": True}}
    assert shown(served.api, ours) == {"status": "off", "mode": "builtin"}
    assert served.api.get(f"/instances/{ours}").json["instance"]["status"] == "RESTART_REQUIRED"


def test_a_rollback_to_none_says_so(served: Service, ours: str) -> None:
    change(served.api, ours, **served.store()[0])
    told = change(served.api, ours, rollback=True).json
    assert told == {"ssl": {"restart_required": False, "status": "off", "mode": None}}
    assert "go back to" in refused(change(served.api, ours, rollback=True), 400)


def test_what_takes_long_is_not_yet_in_effect(served: Service, ours: str) -> None:
    served.task_manager.works = False
    assert change(served.api, ours, **served.store()[0]).json == {"ssl": {"restart_required": True}}
    assert shown(served.api, ours)["status"] == "off"
    assert "not ready" in refused(change(served.api, ours, disable=True), 422)


def test_what_the_server_refuses_is_told(served: Service, ours: str) -> None:
    served.api.guests[ours].fault = GuestError("The server takes no certificate that has expired.")
    assert "has expired" in refused(change(served.api, ours, **served.store()[0]), 400)
    assert shown(served.api, ours)["status"] == "off"


@pytest.mark.parametrize(
    "wanted",
    [{}, {"enable": False}, {"enable": True, "disable": True}, {"disable": 1, "rollback": 1}, {**ENABLE, "rollback": True}],
)
def test_exactly_one_verb_is_given(api: Api, instance: str, wanted: dict[str, Any]) -> None:
    assert "exactly one" in refused(change(api, instance, **wanted), 400)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"enable": True}, "container_ref"),
        ({"enable": True, "container_ref": ""}, "container_ref"),
        ({**ENABLE, "mode": "strict"}, "mode"),
        ({**ENABLE, "container_ref": 7}, "container_ref"),
        ({"enable": "yes"}, "enable"),
    ],
)
def test_what_is_wrong_is_named(api: Api, instance: str, wanted: dict[str, Any], words: str) -> None:
    assert words in refused(change(api, instance, **wanted), 400)


def test_what_is_wrong_with_a_secret_is_named_and_nothing_of_it_told(served: Service, ours: str) -> None:
    keys, authority, made = served.keys, served.authority, served.authority.issue("db")
    good, _ = served.store()
    weak = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair = {"certificate": made.certificate.encode(), "private_key": made.key.encode()}
    cases = {
        "password_ref": [
            {**good, "password_ref": keys.store(PROJECT, b"another")},
            {**good, "password_ref": None},
            {**good, "password_ref": keys.store(OTHER_PROJECT, PASSPHRASE)},
            {**good, "password_ref": keys.store_container(PROJECT, pair)},
        ],
        "container_ref": [
            {**good, "container_ref": keys.store(OTHER_PROJECT, pkcs12_of(made, authority, PASSPHRASE))},
            {**good, "container_ref": "http://169.254.169.254/v1/secrets/x"},
            {**good, "container_ref": keys.store(PROJECT, b"no such thing")},
            {"enable": True, "container_ref": keys.store_container(PROJECT, {"certificate": pair["certificate"]})},
            {"enable": True, "container_ref": keys.store_container(PROJECT, {**pair, "private_key": weak})},
            {"enable": True, "container_ref": keys.store_container(PROJECT, {**pair, "private_key": b"x"})},
            {
                "enable": True,
                "container_ref": keys.store_container(
                    PROJECT, {**pair, "private_key": authority.issue("another").key.encode()}
                ),
            },
            {"enable": True, "container_ref": keys.store_container(PROJECT, pair), "mode": "mtls"},
        ],
    }
    for field, wrong in cases.items():
        for wanted in wrong:
            message = refused(change(served.api, ours, **wanted), 400)
            assert field in message
            assert PASSPHRASE.decode() not in message
            assert "BEGIN" not in message
    assert served.api.guests[ours].calls == []


def test_a_payload_in_base64_is_read_as_well(served: Service, ours: str) -> None:
    from base64 import encodebytes

    text = encodebytes(pkcs12_of(served.authority.issue("db"), served.authority))
    assert change(served.api, ours, enable=True, container_ref=served.keys.store(PROJECT, text)).status_code == 200
    assert shown(served.api, ours)["mode"] == "basic"


def test_a_key_manager_that_is_away_is_no_fault_of_the_request(served: Service, ours: str) -> None:
    wanted, _ = served.store()
    served.keys.fault = Unavailable("The key manager does not answer now; try again.")
    result = change(served.api, ours, **wanted)
    assert result.status_code == 503
    assert "key manager" in result.text


def test_consumers_go_with_the_instance(served: Service, ours: str) -> None:
    wanted, _ = served.store()
    change(served.api, ours, **wanted)
    assert served.keys.consumers == {(wanted["container_ref"], ours)}
    served.task_manager.works = False
    assert served.api.delete(f"/instances/{ours}").status_code == 202
    assert served.keys.consumers == set()


def test_without_a_key_manager_nothing_is_enabled(api: Api, instance: str) -> None:
    message = refused(change(api, instance, **ENABLE), 501)
    assert "key manager" in message
    assert REFERENCE not in message
    assert shown(api, instance)["status"] == "off"


def test_a_replica_has_the_tls_of_its_source(api: Api, instance: str, version: str) -> None:
    replica = api.active("replica", version_id=version)
    with api.doors.database.transaction() as tx:
        tx.connection.exec_driver_sql("update instances set slave_of_id = ? where id = ?", (instance, replica))
    for wanted in (ENABLE, {"disable": True}):
        assert instance in refused(change(api, replica, **wanted), 400)
    assert "go back to" in refused(change(api, replica, rollback=True), 400)


def test_a_busy_instance_is_left_alone(api: Api, instance: str) -> None:
    with api.doors.database.transaction() as tx:
        instances.apply(tx, instance, Event.RESTART_ACCEPTED)
    assert "REBOOT" in refused(change(api, instance, disable=True), 422)


def test_an_engine_whose_tls_is_not_managed_says_so(api: Api) -> None:
    with api.doors.database.transaction() as tx:
        from trove.store import datastores

        datastores.put_datastore(tx, "redis")
        version_id = datastores.put_version(tx, "redis", "7.0", manager="redis").id
    instance = api.active(version_id=version_id)
    assert "Redis" in refused(api.get(f"/instances/{instance}/ssl"), 501)
    assert "Redis" in refused(change(api, instance, **ENABLE), 501)


def test_who_may(api: Api, instance: str, version: str) -> None:
    refused(change(api, instance, user="reader", disable=True), 403)
    theirs = api.active(project_id=OTHER_PROJECT, version_id=version)
    refused(api.get(f"/instances/{theirs}/ssl"), 404)
    refused(change(api, theirs, disable=True), 404)
