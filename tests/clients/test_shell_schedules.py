"""The commands about scheduled backups: they are of Mistral, to which the client cannot log in through Keystone v3."""

from tests.support.clients import Clients
from tests.support.clients_shells import Shell

NOWHERE = "c0ffee00-0000-4000-8000-000000000011"
WHY = "None"  # Keystone wants to know the domain of the user, which the client never tells; this is what it prints then.


def test_an_execution_is_not_deleted(shell: Shell) -> None:
    assert WHY in shell.fails("database backup execution delete", NOWHERE)
    assert shell.use.recorder.exchanges == []


def test_no_schedule_is_made_shown_or_deleted(use: Clients, orders: str) -> None:
    for command, *words in (
        ("schedule-create", orders, "* * * * *", "nightly"),
        ("schedule-list", orders),
        ("schedule-show", NOWHERE),
        ("schedule-delete", NOWHERE),
        ("execution-list", NOWHERE),
    ):
        assert WHY in use.trove(command, *words, status=1).said
    assert {(one.method, one.status) for one in use.recorder.exchanges} == {("GET", 200)}
