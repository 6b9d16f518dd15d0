"""Logs and modules of a real server with a real agent: switched, kept over restarts, published through a real endpoint."""

import base64
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pymysql
import pytest
from tests.support.agent_stage import Stage, staged
from tests.support.guests import Machine, wait_for
from tests.support.valkey import ValkeyServer

from trove.core.accounts import User
from trove.core.clock import utcnow
from trove.core.ids import new_id
from trove.core.json import JSON
from trove.core.logs import LogStatus, home_of, metafile_of, prefix_of
from trove.core.modules import ModuleStatus, digest
from trove.core.tickets import Verb
from trove.objectstore.endpoint import Endpoint
from trove.objectstore.file import FileObjectStore
from trove.objectstore.signing import Signer

CONTAINER = "database_logs"
PASSWORD = "s3cret-of-the-tenant"


pytestmark = pytest.mark.manager("mariadb")


@pytest.fixture
def stage(guest: Machine, valkey: ValkeyServer, config: str) -> Iterator[Stage]:
    with staged(guest, valkey) as made:
        users = [User(name="app", password=PASSWORD).to_json()]
        made.prepare(config, users=users)
        made.wait_status("healthy")
        yield made


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[FileObjectStore]:
    """An object store with the endpoint that guests reach."""
    signer = Signer(b"k" * 32, "http://127.0.0.1:1")
    endpoint = Endpoint(("127.0.0.1", 0), FileObjectStore(tmp_path, signer), signer)
    port = endpoint.server_address[1]
    signer = Signer(b"k" * 32, f"http://127.0.0.1:{port}")
    store = FileObjectStore(tmp_path, signer)
    endpoint.store, endpoint.signer = store, signer
    thread = threading.Thread(target=endpoint.serve_forever)
    thread.start()
    try:
        yield store
    finally:
        endpoint.shutdown()
        thread.join()
        endpoint.server_close()


def order(objects: FileObjectStore, home: str) -> dict[str, JSON]:
    ticket = objects.ticket(CONTAINER, home, Verb.PUT, expires=utcnow() + timedelta(minutes=5))
    return {"ticket": ticket.to_json(), "home": home, "limit": 1000, "budget_s": 30.0}


def ask(stage: Stage, statement: str) -> None:
    """Be the tenant."""
    address = stage.guest.address
    with closing(pymysql.connect(host=address, user="app", password=PASSWORD)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def status(stage: Stage, name: str) -> LogStatus:
    return next(each.status for each in stage.caller.guest_log_list() if each.name == name)


def text(stage: Stage, name: str) -> str:
    path = stage.guest.root / "log" / f"{name}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def test_neither_the_agents_statements_nor_passwords_are_in_the_general_log(stage: Stage) -> None:
    stage.caller.guest_log_action("general", enable=True)
    stage.caller.create_user([User(name="eve", password="pass-of-eve")])
    ask(stage, "SELECT 'a sign'")
    wait_for(lambda: "a sign" in text(stage, "general"), "the statement in the log")
    assert "pass-of-eve" not in text(stage, "general")
    assert "CREATE USER" not in text(stage, "general")


def test_a_log_is_published_through_the_endpoint_and_what_is_there_is_the_log(stage: Stage, objects: FileObjectStore) -> None:
    home = home_of(stage.guest.instance_id, "mariadb", "general")
    stage.caller.guest_log_action("general", publish=order(objects, home))
    for number in range(60):
        ask(stage, f"SELECT 'statement {number}'")
    wait_for(lambda: "statement 59" in text(stage, "general"), "the statements in the log")
    stage.caller.guest_log_action("general", disable=True)
    stage.caller.guest_log_action("general", enable=True)
    shown = stage.caller.guest_log_action("general", publish=order(objects, home))
    assert shown.published > 1000
    # The agent's own connections are in it, so more may have come already.
    assert shown.status in {LogStatus.PUBLISHED, LogStatus.PARTIAL}
    pieces = objects.list(CONTAINER, prefix=prefix_of(home))
    assert len(pieces) > 1
    assert max(each.size for each in pieces) <= 1000
    assert all(int(each.metadata["lines"]) > 0 for each in pieces)
    content = b"".join(b"".join(objects.get(CONTAINER, each.name)) for each in pieces)
    assert content.decode() == text(stage, "general")[: len(content)]
    assert objects.info(CONTAINER, metafile_of(home)).size > 0
    assert stage.caller.guest_log_action("general", discard=True).published == 0


def test_the_system_logs_are_there_from_the_beginning(stage: Stage, objects: FileObjectStore) -> None:
    assert [each.name for each in stage.caller.guest_log_list()] == ["general", "slow_query", "error", "guest"]
    assert status(stage, "error") is LogStatus.READY
    home = home_of(stage.guest.instance_id, "mariadb", "error")
    assert stage.caller.guest_log_action("error", publish=order(objects, home)).published > 0
    assert status(stage, "guest") in {LogStatus.READY, LogStatus.UNAVAILABLE}


def module(contents: str, module_type: str = "ping") -> dict[str, JSON]:
    raw = contents.encode()
    return {
        "id": new_id(),
        "name": "m",
        "type": module_type,
        "md5": digest(raw),
        "contents": base64.b64encode(raw).decode(),
    }


def test_modules_reach_the_guest_and_outlive_its_agent(stage: Stage) -> None:
    ping, key = module("message=hello"), "0123456789abcdef0123456789abcdef01234567"
    license_key = module(f"license_key={key}", "new_relic_license")
    told = {each.id: each for each in stage.caller.module_apply([ping, license_key])}
    assert {each.status for each in told.values()} == {ModuleStatus.OK}
    assert told[str(ping["id"])].message == "hello"
    path = stage.guest.root / "config" / "newrelic-infra.yml"
    assert (path.read_text(), path.stat().st_mode & 0o777) == (f"license_key: {key}\n", 0o600)
    stage.guest.kill_agent()
    stage.begin()
    found = {each.id: each for each in stage.caller.module_list(include_contents=True)}
    assert {each: found[each].message for each in found} == {each: told[each].message for each in told}
    assert found[str(ping["id"])].contents == ping["contents"]
    stage.caller.module_remove(str(license_key["id"]))
    assert not path.exists()
    assert [each.id for each in stage.caller.module_list()] == [ping["id"]]


def test_the_job_of_a_new_instance_applies_its_modules(stage: Stage) -> None:
    ping = module("message=hello")
    stage.caller.start_job("modules", "apply_modules", {"modules": [ping]})
    assert stage.finish("modules")["result"] == {"applied": {ping["id"]: ping["md5"]}}
    stage.caller.start_job("bad", "apply_modules", {"modules": [module("nothing")]})
    job = stage.finish("bad")
    assert job["state"] == "FAILED"
    assert "message=" in job["error"]
