"""What the user named and cannot be used is refused before anything is started."""

import pytest

from trove.cmd.local import external
from trove.cmd.local.layout import StackError
from trove.cmd.local.settings import StackSettings


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_locks_that_cannot_be_used_are_refused_by_name_and_without_the_password(scheme: str) -> None:
    with pytest.raises(StackError, match="--locks") as refused:
        external.check(StackSettings(locks=f"{scheme}://trove:hidden@127.0.0.1:1/trove"))
    assert "hidden" not in str(refused.value)


def test_locks_of_the_stack_itself_are_not_asked_for_before_it_runs() -> None:
    external.check(StackSettings(locks="file"))
    external.check(StackSettings(locks="database", database="mysql+pymysql://trove:hidden@127.0.0.1:1/trove"))
