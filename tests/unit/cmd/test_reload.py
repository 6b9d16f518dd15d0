"""A reload of trove-api: real processes under a stream of requests, of which none is refused, cut, or answered by nobody."""

import http.client
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.services import children, log_of, service
from tests.support.world import until

WORDS_APP = """
import os, time
def factory(global_conf, word):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            time.sleep(2.0)
        body = f"{word} {os.getpid()}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return app
"""


def write_paste(stack: Path, word: str) -> None:
    (stack.parent / "words.py").write_text(WORDS_APP)
    (stack.parent / "api-paste.ini").write_text(f"[app:trove]\npaste.app_factory = words:factory\nword = {word}\n")


def set_workers(stack: Path, count: int) -> None:
    lines = [line for line in stack.read_text().splitlines() if "trove_api_workers" not in line]
    stack.write_text("\n".join(["[DEFAULT]", f"trove_api_workers = {count}", *lines[1:]]) + "\n")


class Stream:
    """Clients that ask without pause: some on connections that they keep, some on a new one each time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._ask, args=(keeps,)) for keeps in (True, True, False, False)]

    def _ask(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._ended.wait(0.002):
            try:
                connection.request("GET", "/", headers={} if keeps else {"Connection": "close"})
                answer = connection.getresponse()
                self.answers[answer.read().decode().split()[0]] += 1
                if answer.status != 200:
                    self.failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def end(self) -> None:
        self._ended.set()
        for thread in self.threads:
            thread.join(30)


@contextmanager
def stream(port: int) -> Iterator[Stream]:
    asking = Stream(port)
    for thread in asking.threads:
        thread.start()
    try:
        yield asking
    finally:
        asking.end()


@pytest.fixture
def words(stack: Path) -> Path:
    write_paste(stack, "old")
    stack.write_text(stack.read_text().replace("[DEFAULT]", "[DEFAULT]\nclient_header_timeout = 1.0", 1))
    return stack


@pytest.mark.parametrize(("workers", "then"), [(1, 1), (2, 2), (2, 3), (3, 1)])
def test_new_processes_take_over_and_no_request_is_lost(workers: int, then: int, words: Path, bus: None, free_port: int):
    set_workers(words, workers)
    with service("api", words) as keeper:
        until(lambda: log_of("api", words).count("is ready") == workers, what="readiness")
        before = set(children(keeper.pid))
        with stream(free_port) as asking:
            until(lambda: asking.answers["old"] > 100, what="answers of the old processes")
            write_paste(words, "new")
            set_workers(words, then)
            keeper.send_signal(signal.SIGHUP)
            until(lambda: "trove-api was reloaded" in log_of("api", words), seconds=60, what="the reload")
            until(lambda: before.isdisjoint(children(keeper.pid)), seconds=60, what="the end of the old processes")
            old_answers = asking.answers["old"]
            until(lambda: asking.answers["new"] > 200, what="answers of the new processes")
        assert asking.failures == []
        assert asking.answers["old"] == old_answers
        assert len(children(keeper.pid)) == then
        keeper.terminate()
        assert keeper.wait(20) == 0
    assert "Traceback" not in log_of("api", words)


def test_a_request_in_hand_is_finished_by_the_process_that_began_it(words: Path, bus: None, free_port: int):
    with service("api", words) as keeper:
        until(lambda: "is ready" in log_of("api", words), what="readiness")
        (old,) = children(keeper.pid)
        connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=30)
        connection.request("GET", "/slow")
        write_paste(words, "new")
        keeper.send_signal(signal.SIGHUP)
        answer = connection.getresponse()
        assert answer.read().decode() == f"old {old}"
        until(lambda: "trove-api was reloaded" in log_of("api", words), what="the reload")
        until(lambda: old not in children(keeper.pid), what="the end of the old process")
        connection.close()
        keeper.terminate()
        assert keeper.wait(20) == 0


def test_a_connection_that_was_accepted_and_has_said_nothing_yet_is_not_cut(words: Path, bus: None, free_port: int):
    words.write_text(words.read_text().replace("client_header_timeout = 1.0", "client_header_timeout = 8.0"))
    with service("api", words) as keeper:
        until(lambda: "is ready" in log_of("api", words), what="readiness")
        with socket.create_connection(("127.0.0.1", free_port), timeout=30) as connection:
            keeper.send_signal(signal.SIGHUP)
            until(lambda: "Replaced by a new process" in log_of("api", words), what="the reload")
            connection.sendall(b"GET / HTTP/1.1\r\nHost: trove\r\n\r\n")
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer.lower()
        keeper.terminate()
        assert keeper.wait(20) == 0


@pytest.mark.parametrize("broken", ["trove.conf", "an option", "api-paste.ini"])
def test_a_broken_configuration_leaves_the_old_processes_at_work_and_says_so(
    broken: str, words: Path, bus: None, free_port: int
):
    right = words.read_text()
    with service("api", words) as keeper:
        until(lambda: "is ready" in log_of("api", words), what="readiness")
        before = children(keeper.pid)
        with stream(free_port) as asking:
            until(lambda: asking.answers["old"] > 20, what="answers")
            write_paste(words, "new")
            if broken == "trove.conf":
                words.write_text("no section\n")
            elif broken == "an option":
                words.write_text(right.replace("[DEFAULT]", "[DEFAULT]\nrate_limit_storage = nowhere", 1))
                (words.parent / "api-paste.ini").write_text("[app:trove]\npaste.app_factory = words:nothing\n")
            else:
                (words.parent / "api-paste.ini").write_text("[app:trove]\nuse = egg:nothing#here\n")
            keeper.send_signal(signal.SIGHUP)
            until(lambda: "WAS NOT RELOADED" in log_of("api", words), what="a loud word")
            assert children(keeper.pid) == before
            # What is mended is taken.
            words.write_text(right)
            write_paste(words, "new")
            keeper.send_signal(signal.SIGHUP)
            until(lambda: asking.answers["new"] > 20, what="answers of the mended configuration")
        assert asking.failures == []
        keeper.terminate()
        assert keeper.wait(20) == 0


def test_a_reload_that_waits_for_a_database_is_overtaken_by_the_next_one(words: Path, bus: None, free_port: int):
    right = words.read_text()
    with service("api", words) as keeper:
        until(lambda: "is ready" in log_of("api", words), what="readiness")
        with stream(free_port) as asking:
            words.write_text(right.replace("trove.sqlite", "elsewhere.sqlite"))
            keeper.send_signal(signal.SIGHUP)
            until(lambda: "db upgrade" in log_of("api", words), what="a new process that waits")
            words.write_text(right)
            write_paste(words, "new")
            keeper.send_signal(signal.SIGHUP)
            until(lambda: asking.answers["new"] > 20, what="answers of the second configuration")
            until(lambda: len(children(keeper.pid)) == 1, what="the end of all others")
        assert asking.failures == []
        keeper.terminate()
        assert keeper.wait(20) == 0


def test_the_processes_end_with_the_one_that_keeps_them(words: Path, bus: None, free_port: int):
    set_workers(words, 2)
    with service("api", words) as keeper:
        until(lambda: log_of("api", words).count("is ready") == 2, what="readiness")
        pids = children(keeper.pid)
        os.kill(keeper.pid, signal.SIGKILL)
        keeper.wait(20)
        until(lambda: not any(is_running(pid) for pid in pids), what="the end of its processes")
        with service("api", words) as successor:
            until(lambda: log_of("api", words).count("is ready") == 4, what="readiness on the same port")
            successor.terminate()
            assert successor.wait(20) == 0


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
