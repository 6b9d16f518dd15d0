"""What guests on machines of their own are told: enough to find their volume, and no more rights over it than are due."""

from configparser import RawConfigParser
from dataclasses import replace

import pytest
from tests.support.world import CALLER, World, request

from trove.bus.contract import GuestCredential
from trove.cloud.contract import ServerSpec
from trove.core.errors import Unsupported
from trove.core.instances import Address, Instance
from trove.core.operations import OperationState
from trove.operations.doors import GuestMachines
from trove.operations.instance import bootstrap, create, rebuild, resize_volume
from trove.store import instances, operations

MACHINES = GuestMachines(mount_points={"mariadb": "/var/lib/mysql"}, agent_options="[DEFAULT]\ndebug = true\n[other]\nx = y\n")


def ini(content: bytes) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(content.decode())
    return parser


def of_machines(here: World, **changes: object) -> None:
    settings = replace(here.doors.settings, machines=MACHINES, **changes)  # type: ignore[arg-type]
    here.doors = replace(here.doors, settings=settings)


def run(here: World) -> OperationState:
    with here.database.reading() as tx:
        newest = operations.page(tx, project_id=CALLER.project_id, limit=1).items[0]
    here.runner().run_now(newest.id)
    with here.database.reading() as tx:
        return operations.page(tx, project_id=CALLER.project_id, limit=1).items[0].state


def built(here: World) -> Instance:
    made = create.start(here.doors, CALLER, request())
    assert run(here) is OperationState.SUCCEEDED
    with here.database.reading() as tx:
        return instances.get(tx, made.id)


def files(instance: Instance, machines: GuestMachines = MACHINES) -> dict[str, bytes]:
    credential = GuestCredential(url="rabbit://guest:secret@mq/")
    return bootstrap.machine_files(instance, machines, credential, report_interval_s=30.0, new_volume=True)


def test_only_a_new_volume_may_be_given_a_file_system(here: World) -> None:
    of_machines(here)
    instance = built(here)
    told = ini(files(instance)[bootstrap.HOST])["host"]
    assert instance.volume is not None
    assert told["volume_id"] == instance.volume.volume_id
    assert (told["mount_point"], told["data_dir"]) == ("/var/lib/mysql", "/var/lib/mysql/data")
    assert (told["sandbox"], told["uid"], told["may_format"]) == ("user", "1001", "true")


def test_a_server_that_is_made_anew_may_not_format_the_volume(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    of_machines(here)
    specs: list[ServerSpec] = []
    for verb in ("ensure_server", "rebuild_server"):
        real = getattr(here.cloud, verb)
        monkeypatch.setattr(here.cloud, verb, lambda spec, real=real: (specs.append(spec), real(spec))[1])
    instance = built(here)
    rebuild.start(here.doors, CALLER, instance.id, "host")
    assert run(here) is OperationState.SUCCEEDED
    first, *_, last = (ini(spec.files[bootstrap.HOST])["host"] for spec in specs)
    assert (first["may_format"], last["may_format"]) == ("true", "false")
    assert first["volume_id"] == last["volume_id"]


def test_a_tenants_database_listens_on_his_own_network_alone(here: World) -> None:
    of_machines(here)
    instance = built(here)
    addresses = (
        Address(address="203.0.113.9", type="public"),
        Address(address="2001:db8::7"),
        Address(address="10.1.2.3"),
    )
    for known, expected in ((addresses, "10.1.2.3"), (addresses[:2], "2001:db8::7"), (addresses[:1], "0.0.0.0")):
        assert ini(files(replace(instance, addresses=known))[bootstrap.HOST])["host"]["address"] == expected


def test_the_operators_options_go_along_and_do_not_win(here: World) -> None:
    of_machines(here)
    instance = built(here)
    options = MACHINES.agent_options + "[DEFAULT]\ntransport_url = rabbit://everybody\n"
    made = files(instance, replace(MACHINES, agent_options=options, ca=b"PEM"))
    told = ini(made[bootstrap.GUEST_AGENT])
    assert told["DEFAULT"]["transport_url"] == "rabbit://guest:secret@mq/"
    assert (told["DEFAULT"]["debug"], told["other"]["x"], told["DEFAULT"]["ca_file"]) == ("true", "y", bootstrap.CA)
    assert made[bootstrap.CA] == b"PEM"
    assert bootstrap.CA not in files(instance)


def test_the_guest_is_told_to_fill_a_volume_that_grew(here: World) -> None:
    of_machines(here)
    instance = built(here)
    here.guests.jobs.clear()
    resize_volume.start(here.doors, CALLER, instance.id, 5)
    assert run(here) is OperationState.SUCCEEDED
    assert [(kind, args) for _, kind, args in here.guests.jobs] == [("grow_volume", {"size_gib": 5})]


def test_without_volumes_none_can_be_asked_for(here: World) -> None:
    of_machines(here, volume_support=False)
    with pytest.raises(Unsupported, match="no data volumes"):
        create.start(here.doors, CALLER, request())
    instance = create.start(here.doors, CALLER, replace(request(), volume_size_gib=None))
    assert run(here) is OperationState.SUCCEEDED
    with here.database.reading() as tx:
        instance = instances.get(tx, instance.id)
    told = ini(files(instance)[bootstrap.HOST])["host"]
    assert instance.volume is None
    assert "volume_id" not in told
    assert told["data_dir"] == "/var/lib/mysql/data"
