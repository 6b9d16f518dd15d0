"""Names, files, passwords and catalogues of PostgreSQL, without a server."""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.core.accounts import Database, User
from trove.core.errors import InvalidInput
from trove.core.replication import Account
from trove.core.tls import TlsMode
from trove.datastores.contract import ConfigInputs
from trove.datastores.postgresql import naming, sql
from trove.datastores.postgresql.access import access
from trove.datastores.postgresql.backup import number_of, text_of
from trove.datastores.postgresql.options import read_config, write_config
from trove.datastores.postgresql.serverconfig import SENDERS, Inputs, conninfo, server_config
from trove.datastores.postgresql.spec import SPEC
from trove.datastores.postgresql.state import Followed, password_line

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("Cs", "Zl", "Zp", "Cc")), max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_is_written_is_read_again(options: dict[str, str]) -> None:
    assert read_config(write_config(options)) == options


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_a_group_says_is_read_from_the_rendered_file(overrides: dict[str, str]) -> None:
    text = SPEC.render_config(ConfigInputs(instance_id="i", version="17", ram_mib=512, overrides=overrides))
    found = SPEC.read_config(text)
    assert {name: found[name] for name in overrides} == overrides


def test_comments_and_all_ways_to_write_a_value_are_understood() -> None:
    text = "# work_mem = 1\nWork_Mem = 4MB # so much\nport 5433\nsearch_path='a, ''b'''\n\n  jit=off\n"
    assert read_config(text) == {"work_mem": "4MB", "port": "5433", "search_path": "a, 'b'", "jit": "off"}


@pytest.mark.parametrize("overrides", [{"work_mem": "1\nport = 1"}, {"work_mem\nport": 1}, {"include '/etc/passwd' #": 1}])
def test_a_group_can_neither_smuggle_lines_nor_options(overrides: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        SPEC.render_config(ConfigInputs(instance_id="i", version="17", ram_mib=512, overrides=overrides))


def test_memory_follows_the_flavor() -> None:
    def rendered(ram_mib: int) -> int:
        text = SPEC.render_config(ConfigInputs(instance_id="i", version="17", ram_mib=ram_mib))
        return int(SPEC.read_config(text)["shared_buffers"].removesuffix("MB"))

    sizes = [rendered(ram_mib) for ram_mib in (64, 512, 2048, 65536)]
    assert sizes == [16, 128, 512, 16384]


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "postgres", "os_admin", "pg_monitor", "public", "owner_0123456789abcdef", "nul\0", "é" * 32]
)
def test_user_names_that_the_server_would_alter_or_needs_itself_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="User name"):
        SPEC.check_user(User(name=name, password="p"))


def test_accounts_of_replicas_cannot_be_taken() -> None:
    with pytest.raises(InvalidInput, match="reserved"):
        SPEC.check_user(User(name="replica_0123456789abcdef", password="p"))


def test_a_host_is_refused_rather_than_taken_and_not_kept() -> None:
    with pytest.raises(InvalidInput, match="Host"):
        SPEC.check_user(User(name="ann", password="p", host="10.0.0.1"))


@pytest.mark.parametrize(
    ("character_set", "collate", "wanted"),
    [
        (None, None, ("UTF8", "C.UTF-8", None)),
        ("utf8mb4", None, ("UTF8", "C.UTF-8", None)),
        ("LATIN1", None, ("LATIN1", "C", None)),
        ("UTF-8", "posix", ("UTF8", "POSIX", None)),
        ("utf8", "de-AT-x-icu", ("UTF8", "C.UTF-8", "de-AT")),
    ],
)
def test_encodings_and_collations_that_every_server_has(
    character_set: str | None, collate: str | None, wanted: tuple[str, str, str | None]
) -> None:
    assert naming.locale_of(Database(name="shop", character_set=character_set, collate=collate)) == wanted


@pytest.mark.parametrize(
    ("character_set", "collate"), [("klingon", None), ("LATIN1", "C.UTF-8"), ("LATIN1", "de-x-icu"), (None, "utf8_general_ci")]
)
def test_what_a_database_cannot_have_is_refused(character_set: str | None, collate: str | None) -> None:
    with pytest.raises(InvalidInput):
        SPEC.check_database(Database(name="shop", character_set=character_set, collate=collate))


@pytest.mark.parametrize("password", ["plain", "a'b\"c`%é😀", "\N{NO-BREAK SPACE}\N{SOFT HYPHEN}x", "\N{ROMAN NUMERAL NINE}"])
def test_a_verifier_is_what_the_protocol_says(password: str) -> None:
    prepared = {"\N{NO-BREAK SPACE}\N{SOFT HYPHEN}x": " x", "\N{ROMAN NUMERAL NINE}": "IX"}.get(password, password)
    kind, given, keys = sql.verifier(password).split("$")
    iterations, salt = given.split(":")
    stored, server = (base64.b64decode(each) for each in keys.split(":"))
    salted = hashlib.pbkdf2_hmac("sha256", prepared.encode(), base64.b64decode(salt), int(iterations))
    assert kind == "SCRAM-SHA-256"
    assert stored == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert server == hmac.digest(salted, b"Server Key", "sha256")


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_log_sequence_number_is_read_as_it_is_written(lsn: int) -> None:
    assert number_of(text_of(lsn)) == lsn


def test_where_a_source_is_holds_no_password_and_nothing_breaks_out_of_it() -> None:
    source = Followed(host="127.0.0.1", port=5432, account="it's")
    assert "user='it\\'s'" in conninfo(source, "/a/file")
    assert password_line(Account(name="a:b", password="c\\d")) == b"*:*:*:a\\:b:c\\\\d\n"


def test_a_standby_has_at_least_what_its_source_has(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("server")
    inputs = Inputs(
        major=17,
        volume_bytes=1 << 30,
        running=folder / "running.conf",
        log=folder / "postgresql.log",
        options={"max_connections": "50", "max_worker_processes": "99"},
        log_statements=None,
        source=Followed(host="127.0.0.1", port=5432, account="replica_1"),
        password_file=folder / "pass",
        floor={"max_connections": 200, "max_worker_processes": 8, "max_wal_senders": 10},
        tls={},
    )
    told = read_config(server_config(inputs))
    assert (told["max_connections"], told.get("max_worker_processes")) == ("200", None)
    assert (told["max_wal_senders"], told["primary_slot_name"], told["summarize_wal"]) == (str(SENDERS), "replica_1", "on")
    assert told["ssl"] == "off"
    told = read_config(server_config(replace(inputs, tls={"ssl_key_file": folder / "a key's"})))
    assert (told["ssl"], told["ssl_key_file"]) == ("on", str(folder / "a key's"))


def test_no_mode_lets_in_whom_another_one_keeps_out() -> None:
    lines = {mode: [line for line in access(mode).splitlines() if not line.startswith("#")] for mode in (None, *TlsMode)}
    # The first line that fits counts: the agent's account is for the socket alone, in every mode.
    assert {tuple(each[:3]) for each in lines.values()} == {
        ("local all,replication os_admin trust", "local all,replication all reject", "host all,replication os_admin all reject")
    }
    assert lines[None] == lines[TlsMode.BASIC]
    for mode in (TlsMode.ENFORCED, TlsMode.MTLS):
        assert all(line.startswith("hostssl ") for line in lines[mode][3:])
    assert [line.split()[1:] for line in lines[TlsMode.MTLS][3:]] == [
        ["all,replication", "+trove_replica", "all", "scram-sha-256"],
        ["all,replication", "all", "all", "cert"],
    ]


def test_the_catalogue_knows_its_versions() -> None:
    by_version = {version: {each.name for each in SPEC.parameters(version)} for version in ("15.18", "17.2", "18.1")}
    assert "transaction_timeout" not in by_version["15.18"]
    assert "transaction_timeout" in by_version["17.2"]
    assert "io_method" in by_version["18.1"] - by_version["17.2"]
    never = {"listen_addresses", "port", "archive_command", "shared_preload_libraries", "fsync", "wal_level", "ssl_key_file"}
    assert all(len(names) > 200 and not names & never for names in by_version.values())
