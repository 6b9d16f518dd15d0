"""MySQL's names, passwords, positions and configuration, without a server; the conformance suite asks a real one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput
from trove.datastores import registry
from trove.datastores.contract import Command, ConfigInputs, Finished
from trove.datastores.families.oracle_mysql import collations, positions
from trove.datastores.families.oracle_mysql.passwords import identified, password_hash, salt_of
from trove.datastores.percona.xtrabackup import end_of
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind

SPECS = [registry.spec(manager) for manager in ("mysql", "percona")]
SPEC = SPECS[0]


@pytest.mark.parametrize("user", ["app", "o'clock", "a b", "x" * 32, "漢", "per%cent"])
def test_good_user_names(user: str) -> None:
    SPEC.check_user(User(name=user, password="p"))


@pytest.mark.parametrize(
    "user",
    ["", "x" * 33, " a", "😀", "root", "OS_ADMIN", "mysql.sys", "mysql.session", "mysql.infoschema", f"replica_{'a' * 16}"],
)
def test_bad_user_names_are_refused(user: str) -> None:
    with pytest.raises(InvalidInput, match="User name"):
        SPEC.check_user(User(name=user, password="p"))


@pytest.mark.parametrize("password", ["", "x" * 201, "漢" * 67, "a\0b"])
def test_passwords_that_not_every_client_can_send_are_refused_and_not_shown(password: str) -> None:
    with pytest.raises(InvalidInput, match="Password") as refused:
        SPEC.check_password(password)
    assert not password or password not in str(refused.value)


def test_a_collation_belongs_to_its_character_set() -> None:
    SPEC.check_database(Database(name="x", character_set="utf8mb4", collate="utf8mb4_0900_as_cs"))
    SPEC.check_database(Database(name="x", character_set="utf8", collate="utf8_bin"))
    with pytest.raises(InvalidInput, match="belongs to"):
        SPEC.check_database(Database(name="x", character_set="latin1", collate="utf8mb4_bin"))
    with pytest.raises(InvalidInput, match="not known"):
        SPEC.check_database(Database(name="x", collate="utf8mb4_uca1400_ai_ci"))
    assert len(collations.table()) > 35


def test_a_hash_is_that_of_the_published_algorithm() -> None:
    """As crypt(3) of the C library hashes it for `$5$saltstring`."""
    assert password_hash("Hello world!", "saltstring") == "$A$005$saltstring5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"


@settings(max_examples=20)
@given(st.text(min_size=1, max_size=60))
def test_a_hash_can_stand_in_a_statement_and_is_another_each_time(password: str) -> None:
    first, second = identified(password), identified(password)
    assert first != second
    for clause in (first, second):
        head, hashed, end = clause.split("'")
        assert (head, end) == ("IDENTIFIED WITH caching_sha2_password AS ", "")
        assert len(hashed) == len("$A$005$") + 20 + 43
        assert hashed.isascii()


def test_the_agents_own_hash_is_always_the_same() -> None:
    assert salt_of("a") == salt_of("a") != salt_of("b")
    assert len(salt_of("a")) == 20


@pytest.mark.parametrize(
    ("gtids", "size"),
    [
        ("", 0),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1", 1),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:7-8", 8),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:backup:1-2", 5),
    ],
)
def test_the_size_of_a_set_of_transactions(gtids: str, size: int) -> None:
    assert positions.size(gtids) == size


def test_sets_are_joined_without_empty_ones() -> None:
    assert positions.joined("a:1", "", "b:2") == "a:1,b:2"


@pytest.mark.parametrize("ram_mib", [64, 512, 2048, 8192, 262_144])
def test_the_configuration_fits_the_memory(ram_mib: int) -> None:
    values = SPEC.read_config(SPEC.render_config(ConfigInputs(instance_id="i", version="9.7", ram_mib=ram_mib)))
    pool, chunk = (int(values[name].removesuffix("M")) for name in ("innodb_buffer_pool_size", "innodb_buffer_pool_chunk_size"))
    assert 16 <= pool <= max(16, ram_mib * 0.7)
    # The server rounds the pool up to whole chunks, and takes at most 1000.
    assert -(-pool // chunk) * chunk <= max(16, ram_mib * 0.75)
    assert pool / chunk <= 1000 or chunk == 128
    assert values["performance_schema"] == ("ON" if ram_mib >= 4096 else "OFF")
    assert int(values["server_id"]) > 0


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.manager))
def test_overrides_win_and_cannot_break_out(spec: object) -> None:
    assert isinstance(spec, type(SPEC))
    inputs = ConfigInputs(instance_id="i", version="9.7", ram_mib=512, overrides={"max_connections": 7, "sql_mode": "A,B c"})
    text = spec.render_config(inputs)
    assert text.startswith(f"# {spec.title} for instance i")
    values = spec.read_config(text)
    assert (values["max_connections"], values["sql_mode"]) == ("7", "A,B c")
    with pytest.raises(InvalidInput):
        spec.render_config(ConfigInputs(instance_id="i", version="9.7", ram_mib=512, overrides={"x": "1\n[client]"}))


def test_what_the_service_itself_sets_is_not_in_the_catalogue() -> None:
    names = {parameter.name for parameter in SPEC.parameters("9.7.4")}
    assert len(names) > 200
    assert {"max_connections", "innodb_buffer_pool_size", "sql_mode", "long_query_time"} <= names
    assert not {
        *("datadir", "port", "socket", "server_id", "gtid_mode", "log_bin", "read_only", "super_read_only", "init_file"),
        *("disabled_storage_engines", "lower_case_table_names", "default_password_lifetime", "authentication_policy"),
    } & {*names}


def test_the_notes_of_xtrabackup_tell_where_a_backup_ends(tmp_path: Path) -> None:
    notes = tmp_path / "xtrabackup_checkpoints"
    with pytest.raises(GuestError, match="did not tell"):
        end_of(notes)
    notes.write_text("backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 19558656\nlast_lsn = 19558656\n")
    assert end_of(notes) == 19558656


class BareHost(SandboxedHost):
    """A host without MySQL."""

    def find_program(self, *names: str) -> str | None:
        return None

    def run(self, command: Command) -> Finished:
        raise AssertionError("nothing may run")


@pytest.mark.parametrize("manager", ["mysql", "percona"])
def test_a_missing_package_is_named_with_the_way_to_install_it(tmp_path: Path, manager: str) -> None:
    where = HostSettings(
        instance_id="i",
        address="127.0.0.1",
        data_dir=tmp_path / "v",
        run_dir=tmp_path / "r",
        config_dir=tmp_path / "c",
        log_dir=tmp_path / "l",
        sandbox=SandboxKind.PROCESS,
    )
    with pytest.raises(GuestError, match="apt-get install mysql-server"):
        registry.driver(manager, BareHost(where)).prepare(config="", progress=lambda _step, _percent: None)
    assert list((tmp_path / "v").iterdir()) == []
