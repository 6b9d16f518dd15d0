"""Option files of MariaDB, read and written, and values as SQL wants them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.datastores.contract import ConfigInputs
from trove.datastores.families.mysql.options import read_config, sql_value, write_config
from trove.datastores.mariadb.spec import SPEC

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("Cs", "Zl", "Zp", "Cc")), max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_is_written_is_read_again(options: dict[str, str]) -> None:
    assert read_config(write_config(options)) == options


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_a_group_says_is_read_from_the_rendered_file(overrides: dict[str, str]) -> None:
    text = SPEC.render_config(ConfigInputs(instance_id="i", version="10.11.6", ram_mib=512, overrides=overrides))
    found = SPEC.read_config(text)
    assert {name: found[name] for name in overrides} == overrides


def test_a_file_is_read_as_the_server_reads_it() -> None:
    text = """
# a comment
a = 1
[client]
port = 1
[mariadbd]
skip-name-resolve
max-connections=10
max_connections = 20
; another comment
quoted = "a \\"b\\" \\\\ c"
empty =
[mysqld]
more = yes
"""
    assert read_config(text) == {
        "skip_name_resolve": "",
        "max_connections": "20",
        "quoted": 'a "b" \\ c',
        "empty": "",
        "more": "yes",
    }


@pytest.mark.parametrize(
    ("value", "kind", "sql", "values"),
    [
        ("64M", "BIGINT UNSIGNED", str(64 * 1024**2), ()),
        ("2g", "BIGINT UNSIGNED", str(2 * 1024**3), ()),
        ("-1", "INT", "-1", ()),
        ("1.5", "DOUBLE", "1.5", ()),
        ("1e-06", "DOUBLE", "1e-06", ()),
        ("ON", "BOOLEAN", "%s", ("ON",)),
        ("1; DROP", "BIGINT UNSIGNED", "%s", ("1; DROP",)),
        ("64M", "VARCHAR", "%s", ("64M",)),
    ],
)
def test_numbers_are_numbers_and_all_else_is_a_value(value: str, kind: str, sql: str, values: tuple[str, ...]) -> None:
    assert sql_value(value, kind) == (sql, values)
