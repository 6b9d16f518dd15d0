"""The baseline of operations: the statements of a transcript again, by the bare driver, in as many threads.

Run: python -m tests.bench.bare_sql TRANSCRIPT, with SQLAlchemy's URL of the database on standard input.
"""

import json
import pickle
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

Transactions = Sequence[tuple[bool, Sequence[tuple[str, Any, bool]]]]


def main() -> None:
    """Replay, and print the wall clock and CPU seconds."""
    threads: list[Transactions] = pickle.loads(Path(sys.argv[1]).read_bytes())
    writing = threading.Lock()
    failed: list[BaseException] = []
    url = make_url(sys.stdin.read())
    if url.get_backend_name() == "sqlite":
        jobs = [(_on_sqlite, (url.database, writing), thread) for thread in threads]
    else:
        jobs = [(_on_mariadb, url, thread) for thread in threads]

    def run(job: Callable[..., None], where: Any, thread: Transactions) -> None:
        try:
            job(where, thread, gate)
        except BaseException as error:
            failed.append(error)
            gate.abort()

    gate = threading.Barrier(len(threads) + 1, timeout=30)
    crew = [threading.Thread(target=run, args=job) for job in jobs]
    for each in crew:
        each.start()
    gate.wait()  # All are connected.
    began, spent = time.monotonic(), time.process_time()
    for each in crew:
        each.join()
    if failed:
        raise failed[0]
    print(json.dumps({"seconds": time.monotonic() - began, "cpu_s": time.process_time() - spent}))


def _on_mariadb(url: Any, transactions: Transactions, gate: threading.Barrier) -> None:
    options: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "charset": "utf8mb4",
        "init_command": "SET SESSION tx_isolation='READ-COMMITTED', time_zone='+00:00'",
    }
    # What only reads needs no transaction: the leanest way there is.
    reader, writer = pymysql.connect(**options, autocommit=True), pymysql.connect(**options)
    gate.wait()
    for committed, statements in transactions:
        cursor = (writer if committed else reader).cursor()
        for text, parameters, many in statements:
            (cursor.executemany if many else cursor.execute)(text, parameters)
            if cursor.description:
                cursor.fetchall()
        cursor.close()
        if committed:
            writer.commit()
    reader.close()
    writer.close()


def _on_sqlite(where: tuple[str, threading.Lock], transactions: Transactions, gate: threading.Barrier) -> None:
    file, writing = where
    connection = sqlite3.connect(file, isolation_level=None, timeout=15)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}").close()
    gate.wait()
    for committed, statements in transactions:
        if committed:
            with writing:
                connection.execute("BEGIN IMMEDIATE")
                _execute(connection, statements)
                connection.commit()
        else:
            _execute(connection, statements)
    connection.close()


def _execute(connection: sqlite3.Connection, statements: Sequence[tuple[str, Any, bool]]) -> None:
    for text, parameters, many in statements:
        cursor = (connection.executemany if many else connection.execute)(text, parameters)
        if cursor.description:
            cursor.fetchall()
        cursor.close()


if __name__ == "__main__":
    main()
