from pathlib import Path

import pytest


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
