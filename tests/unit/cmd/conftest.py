from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import ports
from tests.support.services import process
from tests.support.world import until

from trove.bus import embedded
from trove.cmd import manage

SLOW_PASTE = """
[app:trove]
paste.app_factory = slow:factory
"""
SLOW_APP = """
import time
def factory(global_conf):
    def app(environ, start_response):
        open(environ["PATH_INFO"], "w").close()
        time.sleep(1.0)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]
    return app
"""


@pytest.fixture
def conf_file(tmp_path: Path) -> Path:
    """A trove.conf with a SQLite store, a fresh key file and the memory cloud."""
    (tmp_path / "locks").mkdir()
    path = tmp_path / "trove.conf"
    path.write_text(
        f"""[DEFAULT]
transport_url = valkey+unix://{tmp_path}/bus/bus.sock?user=control&password=pw
cloud = memory
default_datastore = mariadb
[database]
connection = sqlite:///{tmp_path}/trove.sqlite
[secrets]
key_file = {tmp_path}/secret.key
create_key_file = true
[taskmanager]
lock_url = file://{tmp_path}/locks
"""
    )
    return path


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[None]:
    server = embedded.prepare(tmp_path / "bus", control_password="pw")
    with process(list(server.argv), tmp_path / "bus.log"):
        until(server.socket_path.exists, what="the bus")
        yield


@pytest.fixture
def stack(conf_file: Path, free_port: int) -> Path:
    text = conf_file.read_text().replace(
        "[database]", f"bind_host = 127.0.0.1\nbind_port = {free_port}\ntrove_api_workers = 1\n[database]", 1
    )
    conf_file.write_text(text)
    assert manage.main([f"--config-file={conf_file}", "db", "upgrade"]) == 0
    (conf_file.parent / "api-paste.ini").write_text(SLOW_PASTE)
    (conf_file.parent / "slow.py").write_text(SLOW_APP)
    return conf_file


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
