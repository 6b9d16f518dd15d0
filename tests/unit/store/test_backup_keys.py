"""Keys of backups: wrapped by keys of projects, which are sealed; rotation and a new master key lose nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.rows import add_instance, add_operation, add_version

from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import new_id
from trove.store import backup_keys, configurations, instances, operations, schema, secrets
from trove.store.session import Database
from trove.store.vault import SealBroken, Vault

FIRST, SECOND = Vault.new_key(), Vault.new_key()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/trove.db", vault=Vault([FIRST]))
    schema.upgrade(made)
    yield made
    made.close()


def test_a_backup_has_a_key_of_its_own_under_that_of_its_project(database: Database) -> None:
    one, other = new_id(), new_id()
    made = database.run(backup_keys.new_backup_key, "p", one)
    again = database.run(backup_keys.new_backup_key, "p", other)
    assert made.key != again.key
    assert made.encryption.key_id == again.encryption.key_id
    assert made.key.hex() not in repr(made)
    assert database.run(backup_keys.open_backup_key, "p", one, made.encryption) == made.key
    with pytest.raises(InvalidInput, match="altered"):
        database.run(backup_keys.open_backup_key, "p", other, made.encryption)
    with pytest.raises(NotFound):
        database.run(backup_keys.open_backup_key, "q", one, made.encryption)
    for broken in ("", "ü", "AAAA", made.encryption.wrapped_key[:-8] + "AAAAAAA="):
        with pytest.raises(InvalidInput):
            database.run(backup_keys.open_backup_key, "p", one, replace(made.encryption, wrapped_key=broken))
    with pytest.raises(InvalidInput, match="does not know"):
        database.run(backup_keys.open_backup_key, "p", one, replace(made.encryption, cipher="rot13"))


def test_rotation_keeps_the_old_keys_for_the_old_backups(database: Database) -> None:
    one, other = new_id(), new_id()
    old = database.run(backup_keys.new_backup_key, "p", one)
    key = database.run(backup_keys.rotate, "p")
    new = database.run(backup_keys.new_backup_key, "p", other)
    assert new.encryption.key_id == key.id != old.encryption.key_id
    assert database.run(backup_keys.open_backup_key, "p", one, old.encryption) == old.key
    assert database.run(backup_keys.open_backup_key, "p", other, new.encryption) == new.key
    assert [each.id for each in database.run(backup_keys.known, "p")] == [old.encryption.key_id, key.id]
    assert database.run(backup_keys.known, "q") == []


def test_all_secrets_open_with_the_new_key_alone_once_they_were_sealed_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "BATCH", 2)
    version = add_version(database)
    guests = [add_instance(database, version, key=bytes([number]) * 32) for number in range(5)]
    operation = add_operation(database, secrets={"password": "p1"})
    made = [database.run(backup_keys.new_backup_key, project, "b") for project in ("p", "q", "r")]
    with database.transaction() as tx:
        group = configurations.insert(
            tx, project_id="p", name="g", description=None, version_id=version.id, values={"admin_password": "x", "n": 1}
        )
    both = Database(f"sqlite:///{tmp_path}/trove.db", vault=Vault([SECOND, FIRST]))
    assert secrets.reseal(both) == secrets.reseal(both) == 5 + 1 + 3 + 1
    both.close()
    after = Database(f"sqlite:///{tmp_path}/trove.db", vault=Vault([SECOND]))
    with after.reading() as tx:
        assert [instances.guest_key(tx, each.id) for each in guests] == [bytes([number]) * 32 for number in range(5)]
        assert configurations.get(tx, group.id).values == {"admin_password": "x", "n": 1}
        for project, each in zip(("p", "q", "r"), made, strict=True):
            assert backup_keys.open_backup_key(tx, project, "b", each.encryption) == each.key
    claimed, _ = after.run(operations.claim, operation.id, owner="a")
    assert claimed.secrets == {"password": "p1"}
    after.close()
    with pytest.raises(SealBroken), database.reading() as tx:
        backup_keys.open_backup_key(tx, "p", "b", made[0].encryption)
