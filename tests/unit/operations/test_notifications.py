"""What others are told of operations: once, only of what was committed, and never a secret."""

import json
import re
from dataclasses import replace

import pytest
from tests.support.notices import PUBLISHER, forget, stored, told, types
from tests.support.world import CALLER, PASSWORD, PROJECT, World, request

from trove.core.accounts import User
from trove.core.errors import InvalidInput, NotFound, QuotaExceeded, TroveError
from trove.operations.catalogue import KINDS
from trove.operations.database import create as create_databases
from trove.operations.instance import create, delete, reset_status, resize_flavor, resize_volume
from trove.operations.notifications.events import event_name, event_type
from trove.operations.notifications.lifecycle import notified
from trove.operations.user import create as create_users
from trove.operations.user import delete as delete_user
from trove.operations.user import grant_access, update

ASKER = replace(CALLER, client_ip="198.51.100.7")
CONTRACT_NAMES = {
    "instance.create": "instance_create",
    "instance.restart": "instance_restart",
    "instance.reboot": "instance_reboot",
    "instance.resize_volume": "instance_resize_volume",
    "instance.resize_flavor": "instance_resize_instance",
    "instance.promote": "instance_promote",
    "instance.promote_to_replica_source": "instance_promote",
    "instance.eject": "instance_eject",
    "instance.eject_replica_source": "instance_eject",
    "instance.delete": "instance_delete",
    "instance.reset_status": "instance_reset_status",
    "instance.detach_replica": "instance_detach",
    "instance.attach_configuration": "instance_attach_configuration",
    "instance.detach_configuration": "instance_detach_configuration",
    "instance.upgrade": "upgrade",
    "instance.migrate": "migrate",
    "cluster.create": "cluster_create",
    "cluster.grow": "cluster_grow",
    "cluster.shrink": "cluster_shrink",
    "cluster.restart": "cluster_restart",
    "cluster.upgrade": "cluster_upgrade",
    "cluster.delete": "cluster_delete",
    "cluster.reset_status": "cluster_reset_status",
    "backup.create": "backup_create",
    "backup.delete": "backup_delete",
    "database.create": "database_create",
    "database.delete": "database_delete",
    "user.create": "user_create",
    "user.delete": "user_delete",
    "user.update": "user_update_attributes",
    "user.grant_access": "user_grant",
    "user.revoke_access": "user_revoke",
    "user.change_passwords": "user_change_password",
    "configuration.create": "configuration_create",
    "configuration.delete": "configuration_delete",
    "configuration.update": "configuration_update",
    "configuration.edit": "configuration_edit",
}


@pytest.fixture
def here(here: World) -> World:
    """A world whose processes have a publisher."""
    here.database.publisher = PUBLISHER
    return here


def run_all(here: World) -> None:
    runner = here.runner()
    for operation_id in here.announcer.announced:
        assert runner.run_now(operation_id)
    here.announcer.announced.clear()


def running(here: World) -> str:
    """Return the id of an instance that serves, with nothing told yet."""
    instance = create.start(here.doors, ASKER, request())
    run_all(here)
    forget(here)
    return instance.id


@pytest.mark.parametrize("kind", sorted(CONTRACT_NAMES))
def test_verbs_have_the_names_that_consumers_know(kind: str):
    assert event_type(kind, "start") == f"dbaas.{CONTRACT_NAMES[kind]}.start"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_operation_is_told_under_a_name(kind: str):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event_name(kind))
    assert len(event_type(kind, "start")) <= 64


def test_a_creation_is_told_from_beginning_to_end(here: World):
    instance = create.start(here.doors, ASKER, request())
    begun = told(here, "dbaas.instance_create.start")
    assert begun.publisher_id == "trove-api.test"
    assert (
        begun.payload.items()
        >= {
            "tenant_id": PROJECT,
            "client_ip": "198.51.100.7",
            "server_ip": "192.0.2.1",
            "server_type": "api",
            "request_id": "req-1",
            "instance_id": instance.id,
            "name": "orders",
            "flavor_id": "2",
            "datastore": "mariadb",
            "datastore_version": "10.11",
            "image_id": "host",
            "region_name": "RegionOne",
            "volume_size": 2,
            "databases": ["shop"],
            "users": ["ann"],
        }.items()
    )
    run_all(here)
    assert types(stored(here)) == ["dbaas.instance_create.start", "trove.instance.create", "dbaas.instance_create.end"]
    end = told(here, "dbaas.instance_create.end").payload
    assert (end["instance_id"], end["request_id"], end["client_ip"]) == (instance.id, "req-1", "198.51.100.7")


def test_usage_has_all_that_billing_needs(here: World):
    instance = create.start(here.doors, ASKER, request(availability_zone="here"))
    run_all(here)
    payload = dict(told(here, "trove.instance.create").payload)
    server, volume = payload.pop("nova_instance_id"), payload.pop("nova_volume_id")
    assert server
    assert volume
    created = payload.pop("created_at")
    assert payload.pop("launched_at") == created == instance.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert payload == {
        "name": "orders",
        "instance_id": instance.id,
        "instance_name": "orders",
        "instance_type_id": "2",
        "instance_type": None,
        "instance_size": 512,
        "region": "RegionOne",
        "state": "active",
        "state_description": "active",
        "tenant_id": PROJECT,
        "user_id": "u1",
        "service_id": "11111111-2222-3333-4444-555555555555",
        "availability_zone": "here",
        "volume_size": 2,
    }


def test_no_password_is_ever_told(here: World):
    instance_id = running(here)
    user = User(name="eve", password=PASSWORD)
    create_users.start(here.doors, ASKER, instance_id, [user])
    update.start(here.doors, ASKER, instance_id, update.UpdateUser(name="eve", host="%", password=PASSWORD))
    with pytest.raises(InvalidInput):
        create_users.start(here.doors, ASKER, instance_id, [user, user])
    create.start(here.doors, ASKER, request())
    run_all(here)
    everything = json.dumps([dict(each.payload) for each in stored(here)])
    assert '"eve"' in everything
    assert PASSWORD not in everything


def test_nothing_is_told_of_what_was_refused(here: World):
    with pytest.raises(QuotaExceeded):
        create.start(here.doors, ASKER, request(volume_size_gib=1000))
    with pytest.raises(NotFound):
        delete.start(here.doors, ASKER, "no-such-instance")
    assert stored(here) == ()


def test_nothing_is_stored_without_a_publisher(here: World):
    here.database.publisher = None
    instance_id = running(here)
    create_databases.start(here.doors, ASKER, instance_id, [])
    delete.start(here.doors, ASKER, instance_id)
    run_all(here)
    assert stored(here) == ()


def test_a_failed_build_is_told_with_its_reason_and_bills_nothing(here: World):
    here.script.failing["prepare"] = "no room on the disk"
    instance = create.start(here.doors, ASKER, request())
    run_all(here)
    assert types(stored(here)) == ["dbaas.instance_create.start", "dbaas.instance_create.error"]
    payload = told(here, "dbaas.instance_create.error").payload
    assert "no room on the disk" in str(payload["message"])
    assert isinstance(payload["exception"], list)
    assert payload["instance_id"] == instance.id


def test_a_new_flavor_is_told_with_the_old_size(here: World):
    instance_id = running(here)
    resize_flavor.start(here.doors, ASKER, instance_id, "3")
    run_all(here)
    assert types(stored(here)) == [
        "dbaas.instance_resize_instance.start",
        "trove.instance.modify_flavor",
        "dbaas.instance_resize_instance.end",
    ]
    assert told(here, "dbaas.instance_resize_instance.start").payload["flavor_id"] == "3"
    payload = told(here, "trove.instance.modify_flavor").payload
    assert (payload["instance_type_id"], payload["instance_size"], payload["old_instance_size"]) == ("3", 1024, 512)
    assert payload["modify_at"]


def test_a_grown_volume_is_told_with_the_old_size(here: World):
    instance_id = running(here)
    resize_volume.start(here.doors, ASKER, instance_id, 5)
    run_all(here)
    assert types(stored(here)) == [
        "dbaas.instance_resize_volume.start",
        "trove.instance.modify_volume",
        "dbaas.instance_resize_volume.end",
    ]
    payload = told(here, "trove.instance.modify_volume").payload
    assert (payload["volume_size"], payload["old_volume_size"]) == (5, 2)


def test_a_failed_resize_bills_nothing(here: World):
    instance_id = running(here)
    here.script.failing["restart"] = "it does not start"
    resize_flavor.start(here.doors, ASKER, instance_id, "3")
    run_all(here)
    assert types(stored(here)) == ["dbaas.instance_resize_instance.start", "dbaas.instance_resize_instance.error"]


def test_a_deletion_is_told_with_its_time(here: World):
    instance_id = running(here)
    delete.start(here.doors, ASKER, instance_id)
    run_all(here)
    assert types(stored(here)) == ["dbaas.instance_delete.start", "trove.instance.delete", "dbaas.instance_delete.end"]
    payload = told(here, "trove.instance.delete").payload
    assert payload["deleted_at"]
    assert payload["state"] == "shutdown"
    assert payload["user_id"] == "u1"


def test_what_a_dead_task_manager_began_its_successor_tells_once(here: World):
    class Died(BaseException):
        pass

    def die(task: str, moment: str) -> None:
        if "prepare" in task:
            raise Died

    create.start(here.doors, ASKER, request())
    (operation_id,) = here.announcer.announced
    with pytest.raises(Died):
        here.runner(probe=die).run_now(operation_id)
    assert types(stored(here)) == ["dbaas.instance_create.start"]
    run_all(here)
    run_all(here)
    assert types(stored(here)) == ["dbaas.instance_create.start", "trove.instance.create", "dbaas.instance_create.end"]


def test_light_verbs_are_told_when_they_are_done(here: World):
    instance_id = running(here)
    user = User(name="eve", password=PASSWORD)
    create_users.start(here.doors, ASKER, instance_id, [user])
    grant_access.start(here.doors, ASKER, instance_id, user, ["shop"])
    delete_user.start(here.doors, ASKER, instance_id, "eve", "%")
    reset_status.start(here.doors, ASKER, instance_id)
    assert types(stored(here)) == [
        f"dbaas.{name}.{suffix}"
        for name in ("user_create", "user_grant", "user_delete", "instance_reset_status")
        for suffix in ("start", "end")
    ]
    payload = told(here, "dbaas.user_grant.end").payload
    assert (payload["instance_id"], payload["username"], payload["database"]) == (instance_id, "eve", ["shop"])
    assert (payload["tenant_id"], payload["client_ip"]) == (PROJECT, "198.51.100.7")


def test_a_light_verb_that_fails_is_told_with_its_reason(here: World):
    instance_id = running(here)
    with pytest.raises(InvalidInput):
        delete_user.start(here.doors, ASKER, instance_id, "root", "%")
    assert types(stored(here)) == ["dbaas.user_delete.start", "dbaas.user_delete.error"]
    payload = told(here, "dbaas.user_delete.error").payload
    assert "root" in str(payload["message"])
    assert "message" not in told(here, "dbaas.user_delete.start").payload


def test_what_an_unforeseen_error_says_is_not_told(here: World):
    @notified("user.create", lambda name: {"username": name})
    def start(_doors: object, _caller: object, name: str) -> None:
        raise RuntimeError(f"connect password={PASSWORD}")

    with pytest.raises(RuntimeError):
        start(here.doors, ASKER, "eve")
    payload = told(here, "dbaas.user_create.error").payload
    assert PASSWORD not in json.dumps(dict(payload))
    assert payload["exception"] == ["RuntimeError"]


def test_a_verb_is_done_also_when_it_cannot_be_told(here: World, caplog: pytest.LogCaptureFixture):
    def bad(_name: str) -> dict[str, str]:
        raise TroveError("no traits")

    @notified("user.create", bad)
    def start(_doors: object, _caller: object, name: str) -> str:
        return name

    assert start(here.doors, ASKER, "eve") == "eve"
    assert "Notifications of user.create are lost" in caplog.text
