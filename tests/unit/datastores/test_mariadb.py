"""MariaDB's names, configuration and errors, without a server. The conformance suite tries the same on a real one."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.err import OperationalError

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput, TroveError, Unavailable
from trove.datastores.contract import Command, ConfigInputs, Finished
from trove.datastores.families.mysql import naming
from trove.datastores.families.mysql.sql import FULL, name, translated
from trove.datastores.mariadb.dialect import password_hash
from trove.datastores.mariadb.driver import driver
from trove.datastores.mariadb.naming import NAMES
from trove.datastores.mariadb.spec import SPEC
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind


@pytest.mark.parametrize(
    "database", ["shop", "a", "1", "a b", " lead", "x" * 64, "漢" * 51, "o'`\"%_\\", "a.b", "a/b", "mysqlx"]
)
def test_good_database_names(database: str) -> None:
    SPEC.check_database(Database(name=database))


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("", "1 to 64"),
        ("x" * 65, "1 to 64"),
        ("x ", "end with a space"),
        (".", "not allowed"),
        ("..", "not allowed"),
        ("a\0", "control"),
        ("a\n", "control"),
        ("\ud800", "control"),
        ("😀", "emoji"),
        ("MySQL", "reserved"),
        ("information_schema", "reserved"),
        ("performance_schema", "reserved"),
        ("sys", "reserved"),
        ("lost+found", "reserved"),
        ("#mysql50#a", "reserved"),
        ("漢" * 52, "255"),
    ],
)
def test_bad_database_names_are_refused_with_the_reason(database: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        SPEC.check_database(Database(name=database))


@pytest.mark.parametrize(
    ("character_set", "collate", "words"),
    [
        ("klingon", None, "klingon"),
        (None, "klingon_ci", "klingon_ci"),
        ("latin1", "utf8mb4_bin", "belongs to character set 'utf8mb4'"),
    ],
)
def test_unknown_character_sets_are_refused(character_set: str | None, collate: str | None, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        SPEC.check_database(Database(name="x", character_set=character_set, collate=collate))


@pytest.mark.parametrize("user", ["app", "o'clock", "back`tick", "a b", "x" * 128, "漢", "per%cent", "a@b"])
def test_good_user_names(user: str) -> None:
    SPEC.check_user(User(name=user, password="p"))


@pytest.mark.parametrize(
    "user",
    [
        "",
        "x" * 129,
        " a",
        "a ",
        "😀",
        "a\0",
        "root",
        "Root",
        "os_admin",
        "mariadb.sys",
        "mysql",
        "PUBLIC",
        "replica_0123456789abcdef",
    ],
)
def test_bad_user_names(user: str) -> None:
    with pytest.raises(InvalidInput, match="User name"):
        SPEC.check_user(User(name=user, password="p"))


@pytest.mark.parametrize(
    "host",
    ["%", "10.0.0.1", "10.0.%", "10.0.0._", "192.168.1.%", "10.0.0.0/255.0.0.0", "::1", "fe80::%", "%.1", "10%", "2001:db8::1"],
)
def test_good_hosts(host: str) -> None:
    SPEC.check_user(User(name="u", host=host))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "db.example.com",
        "10.0.0.0/24",
        "10.0.0.1/255.0.0.0",
        "256.1.1.1",
        "300.%",
        "1.2.3",
        "1.2.3.4.%",
        "a%",
        "10.0.0.1 ",
        "::01",
        "%/255.0.0.0",
        "x" * 256,
    ],
)
def test_hosts_that_match_nobody_are_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="Host"):
        naming.check_host(host)


@pytest.mark.parametrize("password", ["", "x" * 256, "a\0b", "a\nb", "\ud800"])
def test_bad_passwords_are_refused_and_not_shown(password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        SPEC.check_password(password)
    assert not password or password not in str(refused.value)


def test_a_database_whose_rights_cannot_be_granted_is_refused_for_a_user() -> None:
    SPEC.check_database(Database(name="_" * 33))
    with pytest.raises(InvalidInput, match="counts twice"):
        SPEC.check_user(User(name="u", databases=("_" * 33,)))
    SPEC.check_user(User(name="u", databases=("_" * 32,)))


@given(st.text())
def test_a_grants_pattern_leads_back_to_its_database(database: str) -> None:
    assert naming.granted_database(naming.grant_pattern(database)) == database


@given(st.text())
def test_any_text_is_accepted_or_refused(text: str) -> None:
    for check in (NAMES.check_database_name, NAMES.check_user_name, naming.check_host, NAMES.check_password):
        with suppress(InvalidInput):
            check(text)


def test_identifiers_and_passwords_are_made_safe() -> None:
    assert name("a`b") == "`a``b`"
    assert password_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2013, Unavailable), (2002, Unavailable), (1114, GuestError), (1021, GuestError), (28, GuestError), (1045, GuestError)],
)
def test_errors_of_the_server_are_translated(code: int, kind: type[TroveError]) -> None:
    with pytest.raises(kind) as raised, translated("MariaDB"):
        raise OperationalError(code, "words")
    if code in {1114, 1021, 28}:
        assert str(raised.value) == FULL


def test_a_syntax_error_shows_no_statement() -> None:
    with pytest.raises(GuestError) as raised, translated("MariaDB"):
        raise OperationalError(1064, "near '*HASH'")
    assert "HASH" not in str(raised.value)


def settings_of(text: str) -> dict[str, str]:
    return dict(tuple(line.split(" = ", 1)) for line in text.splitlines() if " = " in line)  # type: ignore[misc]


@pytest.mark.parametrize("ram_mib", [64, 512, 2048, 8192, 262_144])
def test_the_configuration_fits_the_memory(ram_mib: int) -> None:
    values = settings_of(SPEC.render_config(ConfigInputs(instance_id="i", version="10.11", ram_mib=ram_mib)))
    pool = int(values["innodb_buffer_pool_size"].removesuffix("M"))
    assert 16 <= pool <= max(16, ram_mib * 0.7)
    assert int(values["server_id"]) > 0
    assert values["local_infile"] == "OFF"


def test_overrides_win_and_cannot_break_out() -> None:
    inputs = ConfigInputs(
        instance_id="i", version="10.11", ram_mib=512, overrides={"max_connections": 7, "sql_mode": "A,B c", "autocommit": True}
    )
    values = settings_of(SPEC.render_config(inputs))
    assert (values["max_connections"], values["sql_mode"], values["autocommit"]) == ("7", '"A,B c"', "ON")
    for bad in ({"a b": 1}, {"x": "1\n[client]"}, {"[x]": 1}):
        with pytest.raises(InvalidInput):
            SPEC.render_config(ConfigInputs(instance_id="i", version="10.11", ram_mib=512, overrides=bad))


class BareHost(SandboxedHost):
    """A host without MariaDB."""

    def find_program(self, *names: str) -> str | None:
        return None

    def run(self, command: Command) -> Finished:
        raise AssertionError("nothing may run")


def test_a_missing_package_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    settings = HostSettings(
        instance_id="i",
        address="127.0.0.1",
        data_dir=tmp_path / "v",
        run_dir=tmp_path / "r",
        config_dir=tmp_path / "c",
        log_dir=tmp_path / "l",
        sandbox=SandboxKind.PROCESS,
    )
    with pytest.raises(GuestError, match="apt-get install mariadb-server"):
        driver(BareHost(settings)).prepare(config="", progress=lambda _step, _percent: None)
    assert list((tmp_path / "v").iterdir()) == []
