"""Transactions: all or nothing, repeated when the database is busy, and refused in words when it is away."""

import threading

import pytest
from sqlalchemy import NullPool, create_engine, text
from tests.support.rows import add_operation

from trove.core import errors
from trove.core.quotas import Resource
from trove.store import operations, quotas, session
from trove.store.session import RUN_ATTEMPTS, Database, Tx
from trove.store.vault import Vault

NO_LIMITS = dict.fromkeys(Resource, -1)


def test_a_block_that_raises_leaves_no_trace(database: Database) -> None:
    def break_off(tx: Tx) -> None:
        quotas.set_limit(tx, "p", Resource.RAM, 5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(break_off)
    with database.reading() as tx:
        assert tx.execute(text("SELECT count(*) FROM quotas")).scalar_one() == 0


def test_reading_never_writes(database: Database) -> None:
    with database.reading() as tx:
        assert not tx.writable
        quotas.set_limit(tx, "p", Resource.RAM, 5)
    with database.reading() as tx:
        assert tx.execute(text("SELECT count(*) FROM quotas")).scalar_one() == 0


def test_run_repeats_what_is_unavailable_and_gives_up_in_the_end(database: Database) -> None:
    calls = []

    def busy(tx: Tx, times: int) -> str:
        calls.append(tx)
        quotas.set_limit(tx, "p", Resource.RAM, len(calls))
        if len(calls) <= times:
            raise errors.Unavailable("busy")
        return "done"

    assert database.run(busy, 2) == "done"
    assert len(calls) == 3
    with database.reading() as tx:
        assert tx.execute(text("SELECT hard_limit FROM quotas")).scalar_one() == 3
    calls.clear()
    with pytest.raises(errors.Unavailable):
        database.run(busy, 1000)
    assert len(calls) == RUN_ATTEMPTS


def test_a_transaction_inside_a_transaction_is_a_mistake_that_is_told(database: Database) -> None:
    with database.transaction(), pytest.raises(RuntimeError, match="already open"), database.transaction():
        pass
    with database.transaction() as tx:
        assert tx.writable


def test_deadlocks_are_survived(database: Database) -> None:
    """Two threads lock two rows in opposite order, again and again."""
    first, second = add_operation(database), add_operation(database)

    def cancel(tx: Tx, ids: tuple[str, str]) -> None:
        for each in ids:
            operations.request_cancel(tx, each)

    def often(ids: tuple[str, str]) -> None:
        for _ in range(20):
            database.run(cancel, ids)
        done.append(ids)

    done: list[tuple[str, str]] = []
    orders = ((first.id, second.id), (second.id, first.id))
    threads = [threading.Thread(target=often, args=(ids,)) for ids in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 2


def test_a_database_that_is_away_is_unavailable_and_its_password_is_not_told(dialect: str, vault: Vault) -> None:
    urls = {
        "sqlite": "sqlite:////nonexistent/hunter2/trove.db",
        "mariadb": "mysql+pymysql://trove:hunter2@127.0.0.1:1/trove",
        "postgresql": "postgresql+psycopg://trove:hunter2@127.0.0.1:1/trove",
    }
    away = Database(urls[dialect], vault=vault)
    with pytest.raises(errors.Unavailable) as caught, away.reading():
        pass
    assert "hunter2" not in str(caught.value)
    assert dialect == "sqlite" or "hunter2" not in repr(away)
    away.close()


def test_sessions_that_died_while_they_were_idle_are_not_noticed(database: Database) -> None:
    if database.dialect == "sqlite":
        return
    operation = add_operation(database)
    with database.reading() as one, database.reading() as other:
        one.execute(text("SELECT 1"))
        other.execute(text("SELECT 1"))
    kill_sessions(database)
    with database.reading() as tx:
        assert operations.get(tx, operation.id) == operation
    kill_sessions(database)
    with database.transaction() as tx:
        assert operations.request_cancel(tx, operation.id)
    with database.reading() as tx:
        assert operations.get(tx, operation.id).cancel_requested
        kill_sessions(database)
        assert operations.get(tx, operation.id).cancel_requested


def test_half_a_transaction_is_never_carried_on_in_another_session(database: Database) -> None:
    if database.dialect == "sqlite":
        return
    first, second = add_operation(database), add_operation(database)

    def cancel_both() -> None:
        with database.transaction() as tx:
            operations.request_cancel(tx, first.id)
            kill_sessions(database)
            operations.request_cancel(tx, second.id)

    with pytest.raises(errors.Unavailable):
        cancel_both()
    with database.reading() as tx:
        assert not operations.get(tx, first.id).cancel_requested
        assert not operations.get(tx, second.id).cancel_requested


def kill_sessions(database: Database) -> None:
    """End all sessions on the database but the one that does it."""
    others = {
        "mysql": "SELECT id FROM information_schema.processlist WHERE id != CONNECTION_ID() AND db = DATABASE()",
        "postgresql": (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid != pg_backend_pid() AND datname = current_database()"
        ),
    }
    own = create_engine(database.engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with own.connect() as connection:
        found = connection.execute(text(others[database.dialect])).scalars().all()
        if database.dialect == "mysql":
            for each in found:
                connection.execute(text(f"KILL {each}"))


def test_a_transaction_whose_session_is_killed_is_repeated(database: Database) -> None:
    if database.dialect == "sqlite":
        return
    own = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}[database.dialect]
    kill = {"mysql": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}[database.dialect]
    victims: list[int] = []

    def reserve(tx: Tx) -> None:
        if not victims:
            victims.append(tx.execute(text(own)).scalar_one())
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(kill.format(victims[0])))
        quotas.reserve(tx, "p", {Resource.RAM: 1}, NO_LIMITS)

    # Repeated in a fresh session.
    database.run(reserve)
    with database.reading() as tx:
        assert tx.execute(text("SELECT reserved FROM quota_usages")).scalar_one() == 1


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"])
def test_one_that_was_stopped_in_the_middle_of_a_transaction_does_not_keep_its_locks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = add_operation(database)
    _, fence = database.run(operations.claim, made.id, owner="stopped")
    monkeypatch.setattr(session, "IDLE_TRANSACTION_S", 1)
    taken: list[int] = []
    stopped = Database(database.engine.url.render_as_string(hide_password=False), vault=database.vault)

    def write_late() -> None:
        with stopped.transaction() as tx:
            operations.check(tx, fence)
            # It waits until the server has ended the other transaction, which does nothing meanwhile.
            taken.append(database.run(operations.claim, made.id, owner="other")[1].number)
            operations.progress(tx, fence, step="late", percent=1)

    try:
        with pytest.raises(errors.Unavailable):
            write_late()
    finally:
        stopped.close()
    assert taken == [2]
