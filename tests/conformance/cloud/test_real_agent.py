"""The local cloud with the real guest agent, a real bus and a real MariaDB server, in each form."""

import base64
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pymysql
import pytest
from tests.conformance.cloud.conftest import FORMS, Form, local_form
from tests.support.clouds import eventually, make_spec
from tests.support.valkey import ValkeyServer, valkey_server

from trove.bus import rpc
from trove.bus.admission import admission
from trove.bus.contract import CONTROL
from trove.bus.guest import GuestCaller
from trove.bus.sealing import FixedKeys
from trove.cloud.contract import NicRequest
from trove.cloud.local import DEFAULT_PACKAGES
from trove.core.accounts import Database, User
from trove.core.ids import new_id
from trove.datastores import registry
from trove.datastores.contract import ConfigInputs

PASSWORD = "s3cret-of-the-tenant"


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        server.folder.chmod(0o711)
        yield server


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest, valkey: ValkeyServer) -> Iterator[Form]:
    agent = (sys.executable, "-B", "-m", "trove.cmd.guestagent")
    with local_form(request.param, agent_command=agent, packages=DEFAULT_PACKAGES, shared_paths=(valkey.folder,)) as made:
        yield made


def rows(address: str) -> int:
    with closing(pymysql.connect(host=address, port=3306, user="app", password=PASSWORD, database="shop")) as session:
        cursor = session.cursor()
        cursor.execute("create table if not exists t (n int)")
        cursor.execute("insert into t values (1)")
        session.commit()
        cursor.execute("select count(*) from t")
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])


def answers(address: str) -> bool:
    with suppress(pymysql.Error):
        pymysql.connect(host=address, port=3306, user="app", password=PASSWORD).close()
        return True
    return False


@pytest.mark.slow
def test_a_real_database_lives_in_every_form(form: Form, valkey: ValkeyServer) -> None:
    one, key = new_id(), secrets.token_bytes(32)
    keys = FixedKeys({CONTROL: bytes(32), one: key})
    url = admission(valkey.url, keyring=keys).admit(one).url
    form.cloud.ensure_volume(one, size_gib=1, volume_type=None)
    address = form.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses[0].address
    secret = base64.b64encode(key).decode()
    info = f"[DEFAULT]\nguest_id = {one}\ndatastore_manager = mariadb\ndatastore_version = 10.11\n"
    files = {
        "guest_info.conf": f"{info}tenant_id = p\ninstance_rpc_encr_key = {secret}\n".encode(),
        "trove-guestagent.conf": f"[DEFAULT]\ntransport_url = {url}\nreport_interval = 1\n".encode(),
    }
    form.cloud.ensure_server(make_spec(one, manager="mariadb", files=files))
    assert list((form.root / "templates").glob("mariadb-*"))
    with closing(rpc.connect(valkey.url, principal=CONTROL, keyring=keys, host_label="test")) as bus:
        caller = GuestCaller(bus, one, timeout_s=5)
        config = registry.spec("mariadb").render_config(ConfigInputs(instance_id=one, version="10.11", ram_mib=256))
        args = {
            "config": config,
            "databases": [Database(name="shop").to_json()],
            "users": [User(name="app", password=PASSWORD, databases=("shop",)).to_json()],
        }
        caller.start_job("create", "prepare", args)
        eventually(lambda: answers(address), "the database answers", 90)
        assert rows(address) == 1
        pids = form.cloud.process_info(one)
        assert Path(f"/proc/{pids.server_pid}/comm").read_text().strip() in {"mariadbd", "mysqld"}
        form.cloud.stop_server(one, timeout_s=30)
        assert not answers(address)
        assert "Shutdown complete" in "".join(path.read_text() for path in (form.home(one) / "log").glob("*"))
        form.cloud.start_server(one)
        eventually(lambda: answers(address), "the database is back", 90)
        assert rows(address) == 2
        form.cloud.delete_server(one)
        form.cloud.delete_volume(one)
        assert not answers(address)
