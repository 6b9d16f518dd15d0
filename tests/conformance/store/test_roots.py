"""Root: what was enabled once stays known."""

from trove.core.ids import new_id
from trove.store import roots
from trove.store.session import Database


def test_root_is_remembered_after_it_was_disabled(database: Database) -> None:
    instance_id = new_id()
    with database.transaction() as tx:
        assert not roots.enabled(tx, instance_id)
        assert not roots.ever_enabled(tx, instance_id)
        roots.record_disabled(tx, instance_id)
        roots.record_enabled(tx, instance_id, "alice")
        roots.record_enabled(tx, instance_id, "bob")
        assert roots.enabled(tx, instance_id)
        roots.record_disabled(tx, instance_id)
        roots.record_disabled(tx, instance_id)
        assert not roots.enabled(tx, instance_id)
        assert roots.ever_enabled(tx, instance_id)
        roots.record_enabled(tx, instance_id, "bob")
        assert roots.enabled(tx, instance_id)
