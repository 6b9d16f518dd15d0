"""The bytes of the database file hold no secret."""

from pathlib import Path

from tests.support.rows import add_instance, add_operation, add_version

from trove.store import configurations, datastores, operations, schema
from trove.store.session import Database
from trove.store.vault import Vault

PASSWORD = "correct-horse-battery"
KEY = b"guest-key-of-thirty-two-bytes-00"


def test_no_file_of_the_database_holds_a_password_or_a_guest_key(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/trove.db", vault=Vault([Vault.new_key()]))
    schema.upgrade(database)
    add_instance(database, add_version(database), key=KEY, name="visible-name")
    operation = add_operation(database, secrets={"users": [{"name": "u", "password": PASSWORD}]})
    claimed, _ = database.run(operations.claim, operation.id, owner="a")
    assert claimed.secrets == {"users": [{"name": "u", "password": PASSWORD}]}
    hidden = {"admin_password": PASSWORD, "max_connections": 10}
    with database.transaction() as tx:
        version_id = datastores.get(tx, "mariadb").versions[0].id
        group = configurations.insert(tx, project_id="p", name="g", description=None, version_id=version_id, values=hidden)
        assert group.values == hidden
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    database.close()
    files |= {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert any(b"visible-name" in content for content in files.values())
    assert not any(PASSWORD.encode() in content or KEY in content for content in files.values())
