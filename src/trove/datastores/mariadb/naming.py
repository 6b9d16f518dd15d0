"""MariaDB's rules for names."""

from trove.datastores.families.mysql.naming import ADMIN, Names


def _check_collation(character_set: str | None, collate: str | None) -> None:
    from trove.datastores.mariadb import collations  # noqa: PLC0415  a guest seldom needs it

    collations.check(character_set, collate)


NAMES = Names(
    title="MariaDB",
    system_databases=frozenset({"mysql", "information_schema", "performance_schema", "sys", "lost+found"}),
    system_users=frozenset({ADMIN, "root", "mariadb.sys", "mysql", "public"}),
    max_user=128,
    max_password_bytes=4 * 255,
    check_collation=_check_collation,
)
