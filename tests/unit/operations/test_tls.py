"""TLS of instances: all of a replicated set or none of it, and nothing of it where it can be read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.engines import EVERYTHING
from tests.support.pkcs12_files import pkcs12_of
from tests.support.world import CALLER, PROJECT, World, look, request, run, world

from trove.cloud.contract import KeyToken
from trove.cloud.memory_keys import MemoryKeys
from trove.core.errors import GuestError, InvalidInput, NotReady, Unavailable, Unsupported
from trove.core.operations import OperationState
from trove.core.status import Task
from trove.core.tls import TlsMode
from trove.core.transitions import Event
from trove.operations.doors import Limits, Settings
from trove.operations.instance import create, delete, detach, replicate, restart
from trove.operations.tls import change, consumers, show
from trove.operations.tls.change import ChangeTls, Started, TlsVerb
from trove.store import census, instances, tls

LOOSE = Settings(
    limits=Limits(max_instances=-1, max_volumes_gib=-1),
    default_datastore="mariadb",
    reboot_timeout_s=2.0,
    revert_timeout_s=2.0,
    guest_call_timeout_s=1.0,
)
TOKEN = KeyToken(token=PROJECT)
PASSPHRASE = b"s3same"


@pytest.fixture
def keys() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def here(tmp_path: Path, keys: MemoryKeys) -> Iterator[World]:
    """Return a world with a key manager."""
    with world(tmp_path, settings=LOOSE) as made:
        made.doors = replace(made.doors, keys=keys)
        yield made


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def built(here: World, *, replicas: int = 0) -> str:
    made = create.start(here.doors, CALLER, request(datastore_type=EVERYTHING)).id
    assert run(here) is OperationState.SUCCEEDED
    if replicas:
        grow(here, made, replicas)
    return made


def grow(here: World, source: str, count: int = 1) -> None:
    replicate.start(here.doors, CALLER, replicate.CreateReplicas(name="replica", source_id=source, count=count))
    assert run(here) is OperationState.SUCCEEDED


def members(here: World, source: str) -> tuple[str, ...]:
    return (source, *look(here, source).replicas)


def stored(keys: MemoryKeys, authority: Authority, name: str = "db") -> tuple[str, str]:
    """Store a certificate with its passphrase; return where it is, and the certificate."""
    made = authority.issue(name)
    return keys.store(PROJECT, pkcs12_of(made, authority, PASSPHRASE)), made.certificate


def ask(here: World, instance_id: str, verb: TlsVerb, ref: str | None = None, **more: object) -> Started:
    if ref is not None and "password_ref" not in more:
        assert isinstance(here.doors.keys, MemoryKeys)
        more["password_ref"] = here.doors.keys.store(PROJECT, PASSPHRASE)
    return change.start(here.doors, CALLER, instance_id, ChangeTls(verb=verb, container_ref=ref, token=TOKEN, **more))  # type: ignore[arg-type]


def enable(here: World, instance_id: str, ref: str, **more: object) -> Started:
    started = ask(here, instance_id, TlsVerb.ENABLE, ref, **more)
    assert run(here) is OperationState.SUCCEEDED
    return started


def served(here: World, instance_id: str) -> str | None:
    """Return the certificate that a guest serves with, None for its own."""
    told = here.guests.tls.get(instance_id)
    assert told is None or isinstance(told, dict)
    return None if told is None else str(told["certificate"])


def test_a_source_and_its_replicas_serve_with_it(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=2)
    ref, certificate = stored(keys, authority)
    started = enable(here, source, ref, mode=TlsMode.ENFORCED)
    assert {served(here, each) for each in members(here, source)} == {certificate}
    shown = show.start(here.doors, CALLER, source)
    assert (shown.mode, shown.certificate) == ("enforced", certificate)
    assert change.outcome(here.doors, started) == change.Outcome(restart_required=False, mode=TlsMode.ENFORCED)
    assert {look(here, each).task for each in members(here, source)} == {Task.NONE}


def test_the_source_is_the_first(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=2)
    enable(here, source, stored(keys, authority)[0])
    assert next(each for each, method in here.guests.calls if method == "ssl_action") == source


def test_a_restart_that_is_needed_is_told_and_done(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    here.script.restart_required = True
    started = enable(here, source, stored(keys, authority)[0])
    assert change.outcome(here.doors, started).restart_required
    assert {look(here, each).task for each in members(here, source)} == {Task.RESTART_REQUIRED}
    restart.start(here.doors, CALLER, source)
    assert run(here) is OperationState.SUCCEEDED
    assert look(here, source).task is Task.NONE


def test_what_has_not_ended_is_not_in_effect(here: World, keys: MemoryKeys, authority: Authority) -> None:
    started = ask(here, built(here), TlsVerb.ENABLE, stored(keys, authority)[0])
    assert change.outcome(here.doors, started) == change.Outcome(restart_required=True, mode=TlsMode.BASIC)


def test_a_rollback_leads_back_once(here: World, keys: MemoryKeys, authority: Authority) -> None:
    one = built(here)
    (first, old), (second, new) = stored(keys, authority), stored(keys, authority, "other")
    enable(here, one, first)
    enable(here, one, second)
    assert served(here, one) == new
    enable(here, one, second)  # it changes nothing, and so not the way back either
    started = ask(here, one, TlsVerb.ROLLBACK)
    assert run(here) is OperationState.SUCCEEDED
    assert change.outcome(here.doors, started).mode is TlsMode.BASIC
    assert served(here, one) == old
    with pytest.raises(InvalidInput, match="no TLS from before"):
        ask(here, one, TlsVerb.ROLLBACK)


def test_a_rollback_of_the_first_leads_to_the_servers_own(here: World, keys: MemoryKeys, authority: Authority) -> None:
    one = built(here)
    enable(here, one, stored(keys, authority)[0])
    started = ask(here, one, TlsVerb.ROLLBACK)
    assert run(here) is OperationState.SUCCEEDED
    assert change.outcome(here.doors, started).mode is None
    assert (served(here, one), show.start(here.doors, CALLER, one).mode) == (None, None)


def test_a_member_that_refuses_lets_all_be_as_they_were(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=2)
    ref, old = stored(keys, authority)
    enable(here, source, ref)
    refusing = members(here, source)[-1]
    here.script.tls_faults[refusing] = GuestError("The server does not like this key.")
    started = ask(here, source, TlsVerb.ENABLE, stored(keys, authority, "other")[0])
    assert run(here) is OperationState.FAILED
    assert {served(here, each) for each in members(here, source)} == {old}
    assert {look(here, each).task for each in members(here, source)} == {Task.NONE}
    fault = look(here, source).fault
    assert fault is not None
    assert "does not like this key" in fault.message
    with pytest.raises(GuestError, match="does not like this key"):
        change.outcome(here.doors, started)
    assert show.start(here.doors, CALLER, source).certificate == old


def test_a_member_of_which_nothing_is_known_says_so(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    (replica,) = look(here, source).replicas
    here.script.tls_faults[replica] = Unavailable("The guest agent is away.")
    calm = here.guests._serve_tls

    def lost(instance_id: str, wanted: object) -> object:
        """Let nothing of the replica be heard, whatever it is asked for."""
        if instance_id == replica:
            raise Unavailable("The guest agent is away.")
        return calm(instance_id, wanted)  # type: ignore[arg-type]

    here.guests._serve_tls = lost  # type: ignore[method-assign, assignment]
    ask(here, source, TlsVerb.ENABLE, stored(keys, authority)[0])
    assert run(here) is OperationState.FAILED
    fault = look(here, replica).fault
    assert fault is not None
    assert "not known" in fault.message
    assert served(here, source) is None


def test_new_replicas_serve_with_what_their_source_does(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here)
    ref, certificate = stored(keys, authority)
    enable(here, source, ref)
    here.script.restart_required = True
    grow(here, source)
    (replica,) = look(here, source).replicas
    assert served(here, replica) == certificate
    assert (instance_jobs := [kind for each, kind, _ in here.guests.jobs if each == replica])[-1] == "restart", instance_jobs
    assert look(here, replica).task is Task.NONE
    detach.start(here.doors, CALLER, replica)
    assert run(here) is OperationState.SUCCEEDED
    assert show.start(here.doors, CALLER, replica).certificate == certificate


def test_a_replica_can_only_be_rolled_back_and_alone(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    (replica,) = look(here, source).replicas
    ref, certificate = stored(keys, authority)
    enable(here, source, ref)
    for verb, given in ((TlsVerb.ENABLE, ref), (TlsVerb.DISABLE, None)):
        with pytest.raises(InvalidInput, match=source):
            ask(here, replica, verb, given)
    ask(here, replica, TlsVerb.ROLLBACK)
    assert run(here) is OperationState.SUCCEEDED
    assert (served(here, replica), served(here, source)) == (None, certificate)


def test_what_is_deleted_leaves_no_key(here: World, keys: MemoryKeys, authority: Authority) -> None:
    one = built(here)
    enable(here, one, stored(keys, authority)[0])
    delete.start(here.doors, CALLER, one)
    assert run(here) is OperationState.SUCCEEDED
    with here.database.reading() as tx:
        assert tx.connection.exec_driver_sql("select count(*) from instance_tls").scalar() == 0


def test_no_key_is_to_be_read_in_the_state_database(
    here: World, keys: MemoryKeys, authority: Authority, tmp_path: Path
) -> None:
    source = built(here, replicas=1)
    ask(here, source, TlsVerb.ENABLE, stored(keys, authority)[0])
    text = b"".join(each.read_bytes() for each in tmp_path.glob("trove.sqlite*"))
    assert run(here) is OperationState.SUCCEEDED
    text += b"".join(each.read_bytes() for each in tmp_path.glob("trove.sqlite*"))
    assert b"BEGIN CERTIFICATE" in text
    assert b"PRIVATE KEY" not in text
    assert PASSPHRASE not in text
    told = here.guests.tls[source]
    assert isinstance(told, dict)
    assert "PRIVATE KEY" in str(told["key"])


def test_what_is_kept_is_sealed_anew_with_all_other_secrets(here: World, keys: MemoryKeys, authority: Authority) -> None:
    from trove.store import secrets

    one = built(here)
    ref, certificate = stored(keys, authority)
    enable(here, one, ref)
    assert secrets.reseal(here.database) >= 2
    with here.database.reading() as tx:
        current = tls.kept(tx, one).current
    assert current is not None
    assert current.tls.certificate == certificate


def test_whoever_uses_a_secret_is_noted_with_it(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    (first, _), (second, _) = stored(keys, authority), stored(keys, authority, "other")
    for ref in (first, second):
        change.tell_key_manager(here.doors, enable(here, source, ref), TOKEN)
        assert keys.consumers == {(ref, each) for each in members(here, source)}
    (replica,) = look(here, source).replicas
    consumers.exchange(here.doors, TOKEN, before=consumers.used_by(here.doors, replica), after={})
    assert keys.consumers == {(second, source)}
    keys.fault = Unavailable("away")
    started = ask(here, source, TlsVerb.DISABLE)
    assert run(here) is OperationState.SUCCEEDED
    change.tell_key_manager(here.doors, started, TOKEN)
    assert keys.consumers == {(second, source)}


def test_a_busy_member_keeps_all_from_being_changed(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    (replica,) = look(here, source).replicas
    with here.database.transaction() as tx:
        instances.apply(tx, replica, Event.RESTART_ACCEPTED)
    with pytest.raises(NotReady, match=replica):
        ask(here, source, TlsVerb.ENABLE, stored(keys, authority)[0])
    assert look(here, source).task is Task.NONE


def test_replicas_are_not_stranded_while_their_source_is_worked_on(here: World, keys: MemoryKeys, authority: Authority) -> None:
    source = built(here, replicas=1)
    ask(here, source, TlsVerb.ENABLE, stored(keys, authority)[0])
    assert {look(here, each).task for each in members(here, source)} == {Task.UPDATING}
    with here.database.reading() as tx:
        assert census.stranded(tx, limit=9) == ()


def test_without_a_key_manager_it_can_still_be_disabled(here: World, keys: MemoryKeys, authority: Authority) -> None:
    one = built(here)
    ref, _ = stored(keys, authority)
    enable(here, one, ref)
    here.doors = replace(here.doors, keys=None)
    with pytest.raises(Unsupported, match="no key manager"):
        ask(here, one, TlsVerb.ENABLE, ref, password_ref=None)
    ask(here, one, TlsVerb.DISABLE)
    assert run(here) is OperationState.SUCCEEDED
    assert served(here, one) is None
