"""The rules for names in MySQL. Source: "Schema Object Names" and "Account Management" of its manual."""

from trove.datastores.families.mysql.naming import ADMIN, Names


def _check_collation(character_set: str | None, collate: str | None) -> None:
    from trove.datastores.families.oracle_mysql import collations  # noqa: PLC0415  a guest seldom needs it

    collations.check(character_set, collate)


NAMES = Names(
    title="MySQL",
    system_databases=frozenset({"mysql", "information_schema", "performance_schema", "sys", "ndbinfo", "lost+found"}),
    system_users=frozenset({ADMIN, "root", "mysql.sys", "mysql.session", "mysql.infoschema", "mysql"}),
    max_user=32,
    max_password_bytes=200,
    check_collation=_check_collation,
)
"""A password that is sent under the server's RSA key, without TLS, has at most 213 bytes."""
