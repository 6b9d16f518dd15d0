"""`trove.wsgi:application` under servers of others, in processes of their own, on a real bus and state database."""

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.http_api import PASSWORD, PROJECT, write_accounts
from tests.support.services import children, listens, process
from tests.support.world import until

from trove import wsgi
from trove.cmd import manage

ROOT = Path(__file__).parents[3]
WAITRESS = "import sys, waitress, trove.wsgi; waitress.serve(trove.wsgi.application, listen=sys.argv[1], threads=8)"


@pytest.fixture
def trove_conf(conf_file: Path) -> Path:
    users, roles = write_accounts(conf_file.parent)
    text = conf_file.read_text().replace("[DEFAULT]", "[DEFAULT]\nauth_strategy = basic\nhttp_delete_rate = 4", 1)
    counters = f"rate_limit_storage = file://{conf_file.parent}/rates\n"
    conf_file.write_text(
        text.replace("[database]", f"{counters}[database]", 1) + f"[basic_auth]\nuser_file = {users}\nroles_file = {roles}\n"
    )
    shutil.copyfile(ROOT / "etc" / "trove" / "api-paste.ini", conf_file.parent / "api-paste.ini")
    assert manage.main([f"--config-file={conf_file}", "db", "upgrade"]) == 0
    return conf_file


@contextmanager
def served(server: str, trove_conf: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    address = f"127.0.0.1:{port}"
    words = {
        # Preloaded: the module is imported before the workers are forked.
        "gunicorn": [
            "-m",
            "gunicorn",
            "--preload",
            "--workers=2",
            "--threads=4",
            f"--bind={address}",
            "trove.wsgi:application",
        ],
        "waitress": ["-c", WAITRESS, address],
    }[server]
    environment = {"OS_TROVE_CONFIG_FILES": str(trove_conf)}
    with process([sys.executable, *words], trove_conf.parent / "server.log", **environment) as child:
        until(lambda: listens(port), what="the server")
        yield child


def log_of_server(trove_conf: Path) -> str:
    return (trove_conf.parent / "server.log").read_text()


def ask(port: int, method: str, path: str, user: str | None = "member") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    given = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    connection.request(method, path, headers={"Authorization": f"Basic {given}"} if user else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), body


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_a_server_of_others_serves_the_whole_pipeline(server: str, trove_conf: Path, bus: None, free_port: int):
    with served(server, trove_conf, free_port) as child:
        assert ask(free_port, "GET", "/healthcheck", None)[0] == 200
        code, _, body = ask(free_port, "GET", "/", None)
        assert code == 200
        assert json.loads(body)["versions"][0]["links"][0]["href"] == f"http://127.0.0.1:{free_port}/v1.0/"
        assert ask(free_port, "GET", f"/v1.0/{PROJECT}/instances", None)[0] == 401
        answers: list[int] = []

        def reader() -> None:
            answers.extend(ask(free_port, "GET", f"/v1.0/{PROJECT}/instances")[0] for _ in range(10))

        threads = [threading.Thread(target=reader) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 40
        code, headers, body = ask(free_port, "GET", f"/v1.0/{PROJECT}/flavors/nothing")
        assert (code, list(json.loads(body))) == (404, ["itemNotFound"])
        assert headers["X-Openstack-Request-Id"].startswith("req-")
        # Its processes count together.
        refused = [ask(free_port, "DELETE", f"/v1.0/{PROJECT}/instances/none")[0] for _ in range(6)]
        assert refused == [404] * 4 + [413] * 2
        child.send_signal(signal.SIGTERM)
        child.wait(20)
    log = log_of_server(trove_conf)
    assert 1 <= log.count("trove-wsgi is ready") <= (2 if server == "gunicorn" else 1)
    assert "Traceback" not in log
    assert "password=pw" not in log


def test_a_worker_that_is_replaced_builds_its_own_application(trove_conf: Path, bus: None, free_port: int):
    with served("gunicorn", trove_conf, free_port) as child:
        until(lambda: len(children(child.pid)) == 2, what="workers")
        assert ask(free_port, "GET", "/healthcheck", None)[0] == 200
        before = set(children(child.pid))
        for pid in before:
            os.kill(int(pid), signal.SIGKILL)
        until(lambda: before.isdisjoint(children(child.pid)) and answers_200(free_port), what="new workers")


def answers_200(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthcheck", None)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_while_a_part_is_away_it_answers_503_and_comes_back_by_itself(trove_conf: Path, free_port: int, bus: None):
    database = trove_conf.parent / "trove.sqlite"
    aside = trove_conf.parent / "aside"
    database.rename(aside)
    with served("waitress", trove_conf, free_port):
        code, headers, body = ask(free_port, "GET", f"/v1.0/{PROJECT}/instances")
        assert (code, list(json.loads(body))) == (503, ["serviceUnavailable"])
        assert int(headers["Retry-After"]) > 0
        for left in trove_conf.parent.glob("trove.sqlite*"):
            left.unlink()
        aside.rename(database)
        until(lambda: ask(free_port, "GET", f"/v1.0/{PROJECT}/instances")[0] == 200, what="the database's return")
    assert "trove-wsgi cannot work: The state database lacks tables" in log_of_server(trove_conf)


def test_a_configuration_that_cannot_be_read_is_a_503_and_a_line_in_the_log(trove_conf: Path, free_port: int):
    trove_conf.write_text("no section\n")
    with served("waitress", trove_conf, free_port):
        assert ask(free_port, "GET", "/", None)[0] == 503
    assert "trove-wsgi cannot work: the configuration cannot be read" in log_of_server(trove_conf)


def test_the_program_is_a_wsgi_file_and_says_so_when_it_is_run(capfd: pytest.CaptureFixture[str]):
    assert wsgi.application() == 2
    assert "WSGI server" in capfd.readouterr().err


def test_importing_it_reads_and_opens_nothing():
    # A WSGI server loads it first and configures afterwards; nothing is read or opened until a request comes.
    done = subprocess.run(
        [sys.executable, "-c", "import trove.wsgi, sys; print(sorted(m for m in sys.modules if m.startswith('trove')))"],
        env={**os.environ, "OS_TROVE_CONFIG_FILES": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['trove', 'trove.wsgi']"
