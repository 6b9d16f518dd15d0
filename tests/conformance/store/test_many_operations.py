"""Ten thousand operations that wait, or have ended, cost a sweep no more than those that it takes."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text
from tests.support.rows import add_operation

from trove.core.clock import utcnow
from trove.core.operations import OperationState
from trove.store import operations
from trove.store.session import Database, Tx
from trove.store.tables import operations as rows

MANY = 3000
NOW = utcnow()


@pytest.fixture
def crowded(database: Database) -> Database:
    """A database with many operations of every state, accepted one minute after the other."""
    like = add_operation(database)
    with database.transaction() as tx:
        row = dict(tx.execute(rows.select().where(rows.c.id == like.id)).mappings().one())
        tx.execute(rows.delete())
        states = list(OperationState)
        made = [
            row
            | {
                "id": f"op-{number:06}",
                "resource_id": f"resource-{number}",
                "state": states[number % len(states)],
                "created": NOW + timedelta(minutes=number),
                "finished": NOW + timedelta(minutes=number + 1),
            }
            for number in range(MANY)
        ]
        tx.execute(insert(rows), made)
    return database


def test_what_waits_is_swept_oldest_first_whatever_its_state(crowded: Database) -> None:
    with crowded.reading() as tx:
        found = [int(each.id[3:]) for each in operations.unfinished(tx, limit=9)]
        everything = operations.unfinished(tx, limit=MANY)
    assert found == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    assert len(everything) == MANY // 2
    assert [each.created for each in everything] == sorted(each.created for each in everything)


def test_what_has_ended_is_cleared_oldest_first_and_only_what_ended_before(crowded: Database) -> None:
    with crowded.transaction() as tx:
        assert operations.delete_finished(tx, NOW + timedelta(minutes=7), 4) == 3
        assert operations.delete_finished(tx, NOW + timedelta(minutes=7), 4) == 0
        assert operations.delete_finished(tx, NOW + timedelta(days=99), 4) == 4
        left = tx.execute(text("SELECT id FROM operations ORDER BY created LIMIT 11")).scalars().all()
    assert [int(each[3:]) for each in left] == [0, 1, 2, 6, 7, 8, 12, 13, 14, 16, 17]


def test_a_sweep_reads_no_more_than_it_wants(crowded: Database) -> None:
    if crowded.dialect != "mysql":
        return  # The others have no such counter; the statement is the same.
    crowded.run(_analyze)
    with crowded.reading() as tx:
        before = _rows_read(tx)
        operations.unfinished(tx, limit=10)
        assert _rows_read(tx) - before < 200
        before = _rows_read(tx)
        operations.delete_finished(tx, NOW, 10)
        assert _rows_read(tx) - before < 200


def _analyze(tx: Tx) -> None:
    tx.connection.exec_driver_sql("ANALYZE TABLE operations")


def _rows_read(tx: Tx) -> int:
    found = tx.connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(value) for _, value in found)
