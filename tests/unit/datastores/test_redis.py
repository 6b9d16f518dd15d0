"""Names, files and catalogues of Redis and Valkey, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.core.accounts import Database, User
from trove.core.errors import GuestError, InvalidInput
from trove.core.parameters import parse
from trove.datastores import registry
from trove.datastores.contract import ConfigInputs, Spec
from trove.datastores.families.redis import acl
from trove.datastores.families.redis.backup import RedisBackup, only
from trove.datastores.families.redis.options import option, read_config

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(lambda name: name != "save")
REFUSED = ["", " ", "a b", "tab\t", "default", "os_admin", "replica_0123456789abcdef", "x" * 129, "nul\0"]
NO_BACKUPS = [
    b"",
    b"REDIS0011",
    b"trove users x\nREDIS0011",
    b"trove users 5\nuser",
    b"trove users 3\nabcNOTADUMP",
    b"trove users 99999999999\n",
]
VALUES = st.text(st.characters(exclude_categories=("Cs", "Zl", "Zp", "Cc")), max_size=40)


@pytest.fixture(params=["redis", "valkey"])
def spec(request: pytest.FixtureRequest) -> Spec:
    return registry.spec(request.param)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_is_written_is_read_again(options: dict[str, str]) -> None:
    text = "".join(f"{option(*each)}\n" for each in options.items())
    assert read_config(text) == options


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_a_group_says_is_read_from_the_rendered_file(overrides: dict[str, str]) -> None:
    spec = registry.spec("redis")
    text = spec.render_config(ConfigInputs(instance_id="i", version="7.0.15", ram_mib=512, overrides=overrides))
    found = spec.read_config(text)
    assert {name: found[name] for name in overrides} == overrides


def test_values_of_several_words_stay_several_words() -> None:
    assert option("client-output-buffer-limit", "normal 0 0 0") == "client-output-buffer-limit normal 0 0 0"
    assert option("notify-keyspace-events", "") == 'notify-keyspace-events ""'


def test_a_group_can_neither_smuggle_lines_nor_options(spec: Spec) -> None:
    for overrides in ({"maxmemory-policy": "noeviction\nport 0"}, {"maxmemory\nport": 1}, {"include /etc/passwd #": 1}):
        with pytest.raises(InvalidInput):
            spec.render_config(ConfigInputs(instance_id="i", version="8.0", ram_mib=512, overrides=overrides))


def test_memory_follows_the_flavor_and_leaves_room_for_a_copy_of_what_changes(spec: Spec) -> None:
    for ram_mib in (128, 512, 2048, 65536):
        text = spec.render_config(ConfigInputs(instance_id="i", version="8.0", ram_mib=ram_mib))
        assert int(spec.read_config(text)["maxmemory"].removesuffix("mb")) <= 0.7 * ram_mib


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_the_server_cannot_hold_or_that_are_ours_are_refused(spec: Spec, name: str) -> None:
    with pytest.raises(InvalidInput):
        spec.check_user(User(name=name, password="p"))


def test_what_users_cannot_be_limited_to_is_refused(spec: Spec) -> None:
    with pytest.raises(InvalidInput, match="numbered databases"):
        spec.check_user(User(name="ann", databases=("shop",)))
    with pytest.raises(InvalidInput, match="numbered databases"):
        spec.check_database(Database(name="shop"))
    with pytest.raises(InvalidInput, match="'%'"):
        spec.check_user(User(name="ann", host="10.0.0.%"))


def test_no_line_of_a_user_holds_its_password() -> None:
    line = acl.user_line("ann", "secret", acl.USER_RIGHTS)
    assert "secret" not in line
    assert (acl.name_of(line), acl.is_on(line)) == ("ann", True)
    assert not acl.is_on(acl.user_line("default", None, ()))


def test_the_agent_and_the_closed_superuser_are_in_every_file_of_users() -> None:
    kept = acl.user_line("ann", "p", acl.USER_RIGHTS)
    lines = acl.complete(["user os_admin on nopass +@all", "rubbish", kept], "new")
    assert list(map(acl.name_of, lines)) == ["os_admin", "ann", "default"]
    assert "nopass" not in lines[0]
    assert acl.complete(lines, "new")[1:] == lines[1:]
    assert acl.shared([*lines, acl.user_line("replica_0123456789abcdef", "p", acl.REPLICA_RIGHTS)]) == lines[1:]


def test_a_catalogue_names_each_parameter_once_a_version(spec: Spec) -> None:
    for version in ("7.0.15", "8.0.2", "8.1.1"):
        names = [each.name for each in spec.parameters(version)]
        assert len(names) == len(set(names)) > 70
    assert parse([{"name": "hz", "type": "integer", "restart": False}])[0].name == "hz"


@pytest.mark.parametrize("content", NO_BACKUPS)
def test_what_is_no_backup_becomes_no_data(content: bytes) -> None:
    for chunks in ([content], [content[number : number + 1] for number in range(len(content))]):
        with pytest.raises(GuestError):
            list(RedisBackup(chunks=iter(chunks)).dump())


def test_a_backup_is_cut_into_users_and_dump_wherever_its_chunks_end() -> None:
    content = b"trove users 4\nab\ncREDIS0011rest"
    for size in (1, 3, 7, 100):
        backup = RedisBackup(chunks=iter([content[at : at + size] for at in range(0, len(content), size)]))
        assert b"".join(backup.dump()) == b"REDIS0011rest"
        assert backup.users == ["ab", "c"]


def test_there_are_no_chains() -> None:
    with pytest.raises(GuestError, match="full"):
        only([lambda: iter(()), lambda: iter(())])
