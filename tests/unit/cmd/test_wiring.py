"""From the configuration to the doors: keys, settings, places."""

import base64
from pathlib import Path

import pytest
from oslo_config import cfg
from tests.support.world import CALLER, World, request, world

from trove.bus.contract import CONTROL
from trove.cmd import clouds, logs, wiring
from trove.cmd.api import find_paste
from trove.config import opts
from trove.core.errors import InvalidInput, Refused, Unavailable
from trove.operations.instance import create
from trove.store import instances
from trove.store.vault import Vault


def load(*words: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, words, prog="test", description="")
    return conf


@pytest.fixture
def here(tmp_path: Path):
    directory = tmp_path / "world"
    directory.mkdir()
    with world(directory) as made:
        yield made


def test_the_control_key_outlives_a_new_key_in_front(tmp_path: Path):
    path = tmp_path / "key"
    first, second = Vault.new_key(), Vault.new_key()
    path.write_bytes(b"# keys\n" + first + b"\n")
    before = wiring.control_key(str(path))
    path.write_bytes(second + b"\n" + first + b"\n")
    assert wiring.control_key(str(path)) == before
    assert len(before) == 32
    assert base64.urlsafe_b64decode(first) != before


def test_the_keyring_knows_control_and_living_guests(here: World):
    keys = wiring.StoredKeys(here.database, b"c" * 32)
    instance = create.start(here.doors, CALLER, request())
    with here.database.reading() as tx:
        expected = instances.guest_key(tx, instance.id)
    assert keys.key(CONTROL) == b"c" * 32
    assert keys.key(instance.id) == keys.key(instance.id) == expected
    assert "c" * 32 not in repr(keys)
    with pytest.raises(Refused):
        keys.key("no-such-id")


def test_a_deleted_guest_has_no_key_for_who_did_not_know_it(here: World):
    instance = create.start(here.doors, CALLER, request())
    with here.database.transaction() as tx:
        instances.mark_deleted(tx, instance.id, fence=None)
    with pytest.raises(Refused):
        wiring.StoredKeys(here.database, b"c" * 32).key(instance.id)


def test_a_store_without_tables_counts_as_away(conf_file: Path):
    base = wiring.foundation(load(f"--config-file={conf_file}"))
    with pytest.raises(Unavailable, match="db upgrade"):
        wiring.probe_database(base.database)
    base.close()


def test_a_key_file_open_to_others_is_refused(conf_file: Path):
    (conf_file.parent / "secret.key").write_bytes(Vault.new_key())
    (conf_file.parent / "secret.key").chmod(0o644)
    with pytest.raises(InvalidInput, match="0600"):
        wiring.foundation(load(f"--config-file={conf_file}"))


def test_settings_carry_what_operators_set(tmp_path: Path):
    path = tmp_path / "trove.conf"
    path.write_text("[DEFAULT]\nmax_instances_per_tenant = 3\nmax_accepted_volume_size = 7\nusage_timeout = 60\nregion = R\n")
    settings = wiring.settings(load(f"--config-file={path}"))
    assert (settings.limits.max_instances, settings.limits.max_volume_size_gib) == (3, 7)
    assert (settings.build_timeout_s, settings.region, settings.heartbeat_interval_s) == (60, "R", 30)


def test_heartbeats_must_be_able_to_come_in_time(tmp_path: Path):
    path = tmp_path / "trove.conf"
    path.write_text("[DEFAULT]\nreport_interval = 90\n")
    with pytest.raises(InvalidInput, match="agent_heartbeat_expiry"):
        wiring.settings(load(f"--config-file={path}"))


@pytest.mark.parametrize(
    ("url", "paths"),
    [
        ("rabbit://u:p@host:5672/", ()),
        ("valkey+unix:///run/a%20b/bus.sock?user=u&password=p", (Path("/run/a b"),)),
    ],
)
def test_agents_reach_the_socket_of_the_bus(url: str, paths: tuple[Path, ...]):
    assert clouds._bus_socket(url) == paths


def test_the_paste_file_lies_beside_the_configuration(tmp_path: Path):
    path = tmp_path / "trove.conf"
    path.write_text("[DEFAULT]\napi_paste_config = mine.ini\n")
    conf = load(f"--config-file={path}")
    (tmp_path / "mine.ini").write_text("")
    assert find_paste(conf) == tmp_path / "mine.ini"
    (tmp_path / "mine.ini").unlink()
    assert find_paste(conf) is None
