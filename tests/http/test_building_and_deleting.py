"""What a user sees who deletes too early, too often, or after a failure: the whole API, store and runner, a scripted cloud."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from tests.support.http_api import PASTE_FILE, Announcer, Api, oslo_conf, write_accounts
from tests.support.world import PROJECT, World, until, world

from trove.api.app import load
from trove.api.settings import ApiSettings
from trove.core.errors import CloudError
from trove.core.operations import Operation, OperationState
from trove.core.quotas import Resource
from trove.operations.instance import create, delete
from trove.store import operations, quotas

SMALL = {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}
FORCE = {"reset_status": {"force_delete": True}}


@dataclass(kw_only=True)
class Service:
    """The API in front of a world in memory."""

    api: Api
    world: World

    def create(self) -> str:
        made = self.api.post("/instances", {"instance": SMALL})
        assert made.status_code == 200, made.text
        return str(made.json["instance"]["id"])

    def delete(self, instance_id: str) -> testing.Result:
        return self.api.delete(f"/instances/{instance_id}")

    def show(self, instance_id: str) -> Any:
        return self.api.get(f"/instances/{instance_id}").json["instance"]

    def reset(self, instance_id: str, body: Any = FORCE, user: str = "member") -> int:
        return int(self.api.post(f"/instances/{instance_id}/action", body, user=user).status_code)

    def unfinished(self, instance_id: str) -> tuple[Operation, ...]:
        with self.world.database.reading() as tx:
            return operations.unfinished(tx, limit=9, resource_id=instance_id)

    def run(self, instance_id: str, **options: Any) -> None:
        for operation in self.unfinished(instance_id):
            self.world.runner(**options).run_now(operation.id)

    def states(self, instance_id: str) -> list[tuple[str, OperationState]]:
        with self.world.database.reading() as tx:
            found = operations.page(tx, project_id=PROJECT, resource_id=instance_id, limit=9).items
        return [(operation.kind, operation.state) for operation in found][::-1]

    def count(self) -> tuple[int, int]:
        with self.world.database.reading() as tx:
            found = {quota.resource: quota for quota in quotas.limits_of(tx, PROJECT, {})}[Resource.INSTANCES]
        return found.in_use, found.reserved

    def assert_gone(self, instance_id: str) -> None:
        assert self.api.get(f"/instances/{instance_id}").status_code == 404
        left = self.world.cloud.leftovers()
        assert (left.servers, left.volumes, left.ports) == ((), (), ())
        assert self.world.admission.admitted == set()
        assert self.count() == (0, 0)
        assert self.unfinished(instance_id) == ()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with world(tmp_path) as here:
        user_file, roles_file = write_accounts(tmp_path)
        settings = ApiSettings(conf=oslo_conf(), auth="basic", basic_user_file=user_file, basic_roles_file=roles_file)
        app = load(here.doors, settings, PASTE_FILE)
        api = Api(doors=here.doors, settings=settings, app=app, announcer=Announcer(), version_id="")
        yield Service(api=api, world=here)


def refusal(result: testing.Result) -> str:
    assert result.status_code == 422, result.text
    return str(result.json["unprocessableEntity"]["message"])


def test_a_build_can_be_deleted_before_and_after_each_of_its_steps(service: Service) -> None:
    points: list[tuple[str, str]] = []
    calm = service.create()
    service.run(calm, probe=lambda *point: points.append(point))
    service.delete(calm)
    service.run(calm)
    assert len(points) >= 8
    for fatal in points:
        instance_id = service.create()
        asked: list[int] = []

        def probe(task: str, moment: str, *, fatal=fatal, instance_id=instance_id, asked=asked) -> None:
            if (task, moment) == fatal and not asked:
                asked.append(service.delete(instance_id).status_code)
                assert service.show(instance_id)["status"] == "SHUTDOWN"
                assert "SHUTDOWN" in refusal(service.delete(instance_id))

        service.run(instance_id, probe=probe)
        assert asked == [202], fatal
        service.run(instance_id)
        service.assert_gone(instance_id)
        (_, build), deletion = service.states(instance_id)
        last = fatal == points[-1]
        assert build is (OperationState.SUCCEEDED if last else OperationState.CANCELLED), fatal
        assert deletion == (delete.KIND, OperationState.SUCCEEDED)


def test_a_build_that_never_began_is_deleted_without_having_made_anything(service: Service) -> None:
    instance_id = service.create()
    assert service.count() == (0, 1)
    assert service.delete(instance_id).status_code == 202
    assert "SHUTDOWN" in refusal(service.delete(instance_id))
    service.run(instance_id)
    service.assert_gone(instance_id)
    assert not any(verb.startswith("ensure") for verb, _ in service.world.cloud.calls)
    assert service.delete(instance_id).status_code == 404


def test_of_many_who_delete_a_build_at_once_one_is_heard(service: Service) -> None:
    service.world.script.silent.add("prepare")
    instance_id = service.create()
    building = threading.Thread(target=service.run, args=(instance_id,))
    building.start()
    until(lambda: service.world.cloud.find_server(instance_id), what="the server")
    answers: list[testing.Result] = []
    users = [threading.Thread(target=lambda: answers.append(service.delete(instance_id))) for _ in range(8)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    building.join()
    service.run(instance_id)
    codes = Counter(answer.status_code for answer in answers)
    # Who comes when all is over finds nothing.
    assert codes[202] == 1
    assert codes[202] + codes[422] + codes[404] == 8
    assert all("SHUTDOWN" in refusal(answer) for answer in answers if answer.status_code == 422)
    service.assert_gone(instance_id)
    assert service.states(instance_id) == [
        (create.KIND, OperationState.CANCELLED),
        (delete.KIND, OperationState.SUCCEEDED),
    ]


@pytest.mark.parametrize(("body", "user"), [(FORCE, "member"), ({"reset_status": {}}, "admin")])
def test_resetting_and_deleting_a_build_that_runs_ends_it(service: Service, body: Any, user: str) -> None:
    service.world.script.silent.add("prepare")
    instance_id = service.create()
    building = threading.Thread(target=service.run, args=(instance_id,))
    building.start()
    until(lambda: service.world.cloud.find_server(instance_id), what="the server")
    assert service.reset(instance_id, body, user) == 202
    shown = service.show(instance_id)
    assert shown["status"] == "ERROR"
    assert "ancelled" in shown["fault"]["message"]
    assert "ERROR" in refusal(service.api.post(f"/instances/{instance_id}/action", {"restart": {}}))
    assert service.delete(instance_id).status_code == 202
    assert service.show(instance_id)["status"] == "SHUTDOWN"
    building.join()
    service.run(instance_id)
    service.assert_gone(instance_id)


def test_a_build_that_was_reset_stays_in_error_whatever_becomes_of_it(service: Service) -> None:
    instance_id = service.create()
    seen: list[str] = []

    def probe(task: str, moment: str) -> None:
        if (task, moment) == ("prepare_database", "after do"):
            assert service.reset(instance_id) == 202
        seen.append(service.show(instance_id)["status"])

    service.run(instance_id, probe=probe)
    assert seen[-1] == "ERROR"
    shown = service.show(instance_id)
    assert shown["status"] == "ERROR"
    assert "reset" in shown["fault"]["message"]
    assert service.count() == (1, 0)
    assert service.delete(instance_id).status_code == 202
    service.run(instance_id)
    service.assert_gone(instance_id)


def test_a_failed_build_says_why_counts_until_it_is_deleted_and_is_deletable_at_once(service: Service) -> None:
    with service.world.database.transaction() as tx:
        quotas.set_limit(tx, PROJECT, Resource.INSTANCES, 1)
    service.world.script.failing["prepare"] = "The disk is full."
    instance_id = service.create()
    service.run(instance_id)
    shown = service.show(instance_id)
    assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "The disk is full.")
    assert service.count() == (1, 0)
    refused = service.api.post("/instances", {"instance": SMALL})
    assert refused.status_code == 413
    assert "instances: requested 1, in use 1, reserved 0, limit 1" in refused.text
    assert service.delete(instance_id).status_code == 202
    assert service.api.post("/instances", {"instance": SMALL}).status_code == 413, "it is not gone yet"
    service.run(instance_id)
    service.assert_gone(instance_id)
    service.create()


def test_a_deletion_that_failed_says_why_and_can_be_repeated_until_it_works(service: Service) -> None:
    instance_id = service.create()
    service.run(instance_id)
    service.world.cloud.order_fault("delete_volume", CloudError("A snapshot holds the volume."), times=2)
    for _ in range(2):
        assert service.delete(instance_id).status_code == 202
        service.run(instance_id)
        shown = service.show(instance_id)
        assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "A snapshot holds the volume.")
        assert service.count() == (1, 0)
    assert service.reset(instance_id) == 202
    assert service.show(instance_id)["status"] == "ERROR", "half of it is gone"
    assert service.delete(instance_id).status_code == 202
    service.run(instance_id)
    service.assert_gone(instance_id)


def test_a_deletion_that_was_reset_goes_on_and_can_be_asked_for_again(service: Service) -> None:
    instance_id = service.create()
    service.run(instance_id)
    assert service.delete(instance_id).status_code == 202
    assert service.reset(instance_id) == 202
    assert service.show(instance_id)["status"] == "ERROR"
    assert service.delete(instance_id).status_code == 202
    service.run(instance_id)
    service.assert_gone(instance_id)
    assert service.states(instance_id)[1:] == [(delete.KIND, OperationState.SUCCEEDED)] * 2
